"""/v1/presets: named sets of parameters, with the meaning of each."""

from functools import cache
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from core.recipe.presets import DESCRIPTIONS, PRESETS, TWO_CORE_SECONDS
from core.schemas.learning import LearningParams

router = APIRouter(prefix="/v1/presets", tags=["presets"])


class ParameterOut(BaseModel):
    """One parameter: its meaning, its default in this preset, and its bounds as in JSON Schema."""

    name: str
    description: str
    default: Any
    bounds: dict[str, Any]


class PresetOut(BaseModel):
    """A preset. two_core_seconds: what learning took on two cores of an AMD EPYC; null if it was not measured."""

    name: str
    description: str
    two_core_seconds: float | None
    params: dict[str, Any]
    parameters: list[ParameterOut]


@router.get("")
def listing() -> dict[str, list[PresetOut]]:
    """List the presets with their parameters, and what these mean, their defaults and bounds."""
    return {"data": _presets()}


@cache
def _presets() -> list[PresetOut]:
    return [_preset(name, params) for name, params in PRESETS.items()]


def _preset(name: str, params: LearningParams) -> PresetOut:
    values = params.model_dump(mode="json")
    schema = LearningParams.model_json_schema()
    parameters = [
        ParameterOut(
            name=field,
            description=about["description"],
            default=values[field],
            bounds={key: value for key, value in about.items() if key not in ("description", "default", "title")},
        )
        for field, about in schema["properties"].items()
    ]
    return PresetOut(
        name=name,
        description=DESCRIPTIONS[name],
        two_core_seconds=TWO_CORE_SECONDS.get(name),
        params=values,
        parameters=parameters,
    )
