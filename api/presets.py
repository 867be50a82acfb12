"""/v1/presets: named sets of parameters, with the meaning of each."""

from functools import cache
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api.app_state import AppStateDep
from core.jobs.durations import finished_trainings
from core.recipe.expected_time import expected_seconds
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
    """A preset. two_core_seconds: what learning took on two cores of an AMD EPYC; null if it was not measured.

    expected_seconds: what it takes on this service, by its latest training jobs; null as long as none tells.
    """

    name: str
    description: str
    two_core_seconds: float | None
    expected_seconds: float | None = None
    params: dict[str, Any]
    parameters: list[ParameterOut]


@router.get("")
def listing(app_state: AppStateDep) -> dict[str, list[PresetOut]]:
    """List the presets with their parameters, and what these mean, their defaults and bounds."""
    finished = finished_trainings(app_state.database)
    return {
        "data": [
            one.model_copy(update={"expected_seconds": expected_seconds(one.name, finished)}) for one in _presets()
        ]
    }


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
