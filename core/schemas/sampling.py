"""Settings of sampling pictures from a finished model."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from core.schemas.learned import LearnedSettings, learned_of, stable_step
from core.schemas.learning import MAX_SEED

MIN_SIDE = 16
MAX_SIDE = 8192
MIN_PATCH_SIDE = 2
MAX_COUNT = 64
DEFAULT_STEPS = 200
CANVAS_STEPS = 60  # for pictures laid with patches of a canvas, which are large and have few seams to mend
DEFAULT_START_STRENGTH = 0.4
DEFAULT_GUIDE_STRENGTH = 0.05
DEFAULT_SOFTNESS = 0.1
MIN_SOFTNESS = 0.01
MAX_SOFTNESS = 1  # the time of the blur grows with it
DATASET_PARAMS = ("start_dataset_id", "guide_dataset_id", "end_dataset_id")  # parameters that name a dataset
MAX_BLENDED = 7  # models besides the job's own
MAX_BLENDED_STRIDE = 64  # of which the sides of a canvas may have to be multiples, for the strides of all its nets
MAX_BLENDED_PIXELS = MAX_SIDE**2  # of a picture times its models, each of which has a canvas: some 6 GB in colour

SHARD_PICTURES = 8  # in a shard at most: little work to repeat after a failure, much compared with claiming a shard
SHARD_PIXELS = SHARD_PICTURES * 512**2  # in a shard at most, if it holds several pictures

DatasetId = Annotated[str | None, Field(min_length=1, max_length=40)]
Side = Annotated[int | None, Field(ge=MIN_PATCH_SIDE, le=MAX_SIDE)]
Steps = Annotated[int, Field(ge=1, le=100_000, description="Langevin steps for each picture.")]
StepSize = Annotated[
    float | None,
    Field(gt=0, allow_inf_nan=False, description="ε, in grey levels, below 2σ; that of learning if absent."),
]
Seed = Annotated[int | None, Field(ge=0, le=MAX_SEED, description="Seed of starts and noise; random if absent.")]

_SIDE = (
    f"Pixels. The model's own size if absent. Models of a fixed size draw only that; others draw at least {MIN_SIDE}."
)


class BlendedModel(BaseModel):
    """Another model, and where its texture is drawn: its weight at a pixel is `weight` x the mask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: Annotated[str, Field(min_length=1, max_length=40, description="The model.")]
    mask_dataset_id: Annotated[
        DatasetId,
        Field(
            description="Where the model is drawn: a dataset of one picture, white where it is drawn and black where "
            "not, or transparent. It is scaled to cover width x height. Everywhere if absent."
        ),
    ] = None
    weight: Annotated[
        float | None,
        Field(
            validate_default=True,
            ge=0,
            le=1,
            description="Factor on the mask; 1 if absent. Without a mask: how much of what masks leave is the model's.",
        ),
    ] = None

    softness: Annotated[
        float | None,
        Field(
            ge=MIN_SOFTNESS,
            le=MAX_SOFTNESS,
            description="How soft the mask's border is made: standard deviation of a blur, in windows of the nets. "
            f"{DEFAULT_SOFTNESS:g} if absent: elements end at the border; from 0.25 on textures fade into each other.",
        ),
    ] = None

    @field_validator("weight")
    @classmethod
    def _has_a_mask_or_a_weight(cls, weight: float | None, info: ValidationInfo) -> float | None:
        if weight is None and info.data.get("mask_dataset_id", "refused") is None:
            raise ValueError("is needed without mask_dataset_id: how much of the picture the model has")
        return weight

    @field_validator("softness")
    @classmethod
    def _needs_a_mask(cls, softness: float | None, info: ValidationInfo) -> float | None:
        if softness is not None and info.data.get("mask_dataset_id", "refused") is None:
            raise ValueError("needs mask_dataset_id, the mask whose border is softened")
        return softness


class SampleParams(BaseModel):
    """What a sampling job draws. Absent settings are taken from the model when the job is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_COUNT,
            description=f"Number of pictures, at most {MAX_COUNT}; more than {SHARD_PICTURES} are divided among "
            "workers.",
        ),
    ] = 4
    width: Annotated[Side, Field(description=_SIDE)] = None
    height: Annotated[Side, Field(description=_SIDE)] = None
    steps: Annotated[
        Steps | None,
        Field(
            description=f"Langevin steps for each picture. If absent {DEFAULT_STEPS}; {CANVAS_STEPS} for a model that "
            "was learned on a canvas (canvas_iterations), for pictures without a start, a guide or a blend."
        ),
    ] = None
    step_size: StepSize = None
    seed: Seed = None
    tileable: Annotated[bool, Field(description="true: the picture continues seamlessly at its opposite side.")] = False
    start_dataset_id: Annotated[
        DatasetId,
        Field(
            description="Draw variations of a picture: a dataset of one picture, from which the chains start. It is "
            "scaled to cover width x height."
        ),
    ] = None
    start_strength: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="How far variations leave the picture: they begin so far on the way from it to a new picture "
            "of the model, and this share of `steps` is taken. 0: the picture in the model's light, denoised; 1: "
            "nothing of it is left. "
            f"{DEFAULT_START_STRENGTH:g} if absent.",
        ),
    ] = None

    guide_dataset_id: Annotated[
        DatasetId,
        Field(
            description="Draw light, dark and colours where a picture has them: a dataset of one picture. It is "
            "scaled to cover width x height. Not for models of objects or patches."
        ),
    ] = None
    guide_strength: Annotated[
        float | None,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="How strongly the chains are held near the guide. 0: not at all; up to 0.2 texture and guide "
            "are both seen, up to 0.05 if the guide is far lighter and darker than the texture; 1: as strongly as the "
            "reference distribution holds them. "
            f"{DEFAULT_GUIDE_STRENGTH:g} if absent.",
        ),
    ] = None

    blend: Annotated[
        tuple[BlendedModel, ...] | None,
        Field(
            min_length=1,
            max_length=MAX_BLENDED,
            description="Draw other models on the same canvas, each where its mask is white, and the job's own where "
            "all masks are black. Not for models of objects or patches, and only for models with as many channels. "
            f"width x height x all models must be at most {MAX_BLENDED_PIXELS:,} pixels.",
        ),
    ] = None

    end_dataset_id: Annotated[
        DatasetId,
        Field(
            description="Pass from the picture of start_dataset_id to another: a dataset of one picture. Each picture "
            "starts between the two, all under the same noise. Not with blend."
        ),
    ] = None
    end_shares: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...] | None,
        Field(
            description="Where each picture starts: 0 at the start, 1 at the end. Evenly from 0 to 1 if absent; a "
            "single picture halfway."
        ),
    ] = None

    @field_validator("end_dataset_id")
    @classmethod
    def _has_a_start(cls, dataset_id: str | None, info: ValidationInfo) -> str | None:
        if dataset_id is not None and info.data.get("start_dataset_id", "refused") is None:
            raise ValueError("needs start_dataset_id, the picture to pass from")
        if dataset_id is not None and info.data.get("blend") is not None:
            raise ValueError("must be absent with blend")
        return dataset_id

    @field_validator("end_shares")
    @classmethod
    def _one_a_picture(cls, shares: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        if shares is None:
            return None
        if info.data.get("end_dataset_id", "refused") is None:
            raise ValueError("needs end_dataset_id, the picture to pass to")
        count = info.data.get("count")
        if learned_of(info) is not None and count is not None and len(shares) != count:
            raise ValueError(f"must be {count}, one for each picture, but are {len(shares)}")
        return shares

    @field_validator("blend")
    @classmethod
    def _can_be_blended(
        cls, blend: tuple[BlendedModel, ...] | None, info: ValidationInfo
    ) -> tuple[BlendedModel, ...] | None:
        learned = learned_of(info)
        if blend is not None and learned is not None and learned.only_size is not None:
            raise ValueError(f"must be absent: {learned.only_size}")
        return blend

    @field_validator("guide_dataset_id")
    @classmethod
    def _can_be_guided(cls, dataset_id: str | None, info: ValidationInfo) -> str | None:
        learned = learned_of(info)
        if dataset_id is not None and learned is not None and learned.only_size is not None:
            raise ValueError(f"must be absent: {learned.only_size}")
        return dataset_id

    @field_validator("guide_strength")
    @classmethod
    def _needs_a_guide(cls, strength: float | None, info: ValidationInfo) -> float | None:
        if strength is None:
            return None
        if info.data.get("guide_dataset_id", "refused") is None:
            raise ValueError("needs guide_dataset_id, the picture to be guided by")
        learned, step_size = learned_of(info), info.data.get("step_size")
        if learned is not None and step_size is not None:
            highest = 4 * learned.reference_std**2 / step_size**2 - 1
            if strength >= highest:
                raise ValueError(f"must be below {highest:g} with a step_size of {step_size:g}: chains would diverge")
        return strength

    @field_validator("start_strength")
    @classmethod
    def _needs_a_start(cls, strength: float | None, info: ValidationInfo) -> float | None:
        if strength is not None and info.data.get("start_dataset_id", "refused") is None:
            raise ValueError("needs start_dataset_id, the picture to start from")
        return strength

    def resolved(self, learned: LearnedSettings, seed: int) -> "ResolvedSampleParams":
        """Return complete settings. Raises ValidationError if the model cannot draw such pictures."""
        return ResolvedSampleParams.model_validate(
            {
                **self.model_dump(),
                "width": self.width or learned.side,
                "height": self.height or learned.side,
                "steps": self.steps or self._default_steps(learned),
                "step_size": self.step_size or learned.step_size,
                "seed": seed if self.seed is None else self.seed,
                "start_strength": _default(self.start_strength, self.start_dataset_id, DEFAULT_START_STRENGTH),
                "guide_strength": _default(self.guide_strength, self.guide_dataset_id, DEFAULT_GUIDE_STRENGTH),
                "end_shares": self.end_shares or (even_shares(self.count) if self.end_dataset_id else None),
            },
            context=learned.context,
        )

    def _default_steps(self, learned: LearnedSettings) -> int:
        """Return the Langevin steps for each picture if none are asked for."""
        begins_as_patches = self.start_dataset_id is None and self.guide_dataset_id is None and not self.blend
        return CANVAS_STEPS if learned.canvas_iterations and begins_as_patches else DEFAULT_STEPS


class ResolvedSampleParams(SampleParams):
    """Complete settings, as stored with a job."""

    width: Annotated[int, Field(ge=MIN_PATCH_SIDE, le=MAX_SIDE)]
    height: Annotated[int, Field(ge=MIN_PATCH_SIDE, le=MAX_SIDE)]
    steps: Steps
    step_size: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]

    @property
    def steps_taken(self) -> int:
        """Langevin steps for each picture: of variations the share `start_strength` of `steps`, rounded up."""
        return self.steps if self.start_strength is None else math.ceil(self.start_strength * self.steps)

    def alone(self, index: int) -> "ResolvedSampleParams":
        """Return the settings of a job that draws picture `index` of this one alone, as its picture 0."""
        shares = None if self.end_shares is None else (self.end_shares[index],)
        return self.model_copy(update={"count": 1, "seed": self.seed_of(index), "end_shares": shares})

    def seed_of(self, index: int) -> int:
        """Return the seed of picture `index`: one for all on the way from one picture to another, else its own."""
        return self.seed if self.end_dataset_id is not None else (self.seed + index) % (MAX_SEED + 1)

    def shards(self) -> "list[Shard]":
        """Return the parts that workers can draw in parallel; none if the job is a single part.

        The split depends on these settings only, not on the number of workers.
        """
        size = max(1, min(SHARD_PICTURES, SHARD_PIXELS // (self.width * self.height)))
        if self.count <= size:
            return []
        return [
            Shard(first, self.model_copy(update={"count": min(size, self.count - first)}))
            for first in range(0, self.count, size)
        ]

    _stable = field_validator("step_size")(stable_step)

    @field_validator("width", "height")
    @classmethod
    def _can_be_drawn(cls, side: int, info: ValidationInfo) -> int:
        learned = learned_of(info)
        if learned is None:
            return side
        if learned.only_size is not None and side != learned.side:
            raise ValueError(f"must be {learned.side}: {learned.only_size}")
        if learned.only_size is None and side < MIN_SIDE:
            raise ValueError(f"must be at least {MIN_SIDE}")
        return side

    @field_validator("blend")
    @classmethod
    def _fits_into_memory(
        cls, blend: tuple[BlendedModel, ...] | None, info: ValidationInfo
    ) -> tuple[BlendedModel, ...] | None:
        width, height = info.data.get("width"), info.data.get("height")
        if blend is None or width is None or height is None or learned_of(info) is None:
            return blend
        models = 1 + len(blend)
        if width * height * models > MAX_BLENDED_PIXELS:
            raise ValueError(
                f"is too much for one picture: {width} x {height} pixels of {models} models are "
                f"{width * height * models:,}, more than {MAX_BLENDED_PIXELS:,}"
            )
        return blend

    @field_validator("tileable")
    @classmethod
    def _continues(cls, tileable: bool, info: ValidationInfo) -> bool:
        learned = learned_of(info)
        if tileable and learned is not None and learned.only_size is not None and learned.boundary != "torus":
            raise ValueError("must be false: what this model draws does not continue at its opposite side")
        return tileable


@dataclass(frozen=True)
class Shard:
    """`params.count` of a job's pictures, from number `first` on."""

    first: int
    params: ResolvedSampleParams


def _default(strength: float | None, dataset_id: str | None, default: float) -> float | None:
    """Return a strength, or its default if its picture is given."""
    return default if strength is None and dataset_id is not None else strength


def even_shares(count: int) -> tuple[float, ...]:
    """Return `count` shares from 0 to 1, or one half."""
    return tuple(index / (count - 1) for index in range(count)) if count > 1 else (0.5,)


def datasets_of(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids of the datasets that a job's stored parameters name, by parameter."""
    named = {name: params[name] for name in DATASET_PARAMS if params.get(name) is not None}
    return named | _of_blend(params, "mask_dataset_id")


def models_of(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids of the models that a job's stored parameters name, by parameter."""
    return _of_blend(params, "model_id")


def without_ids(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's stored parameters without the ids of `datasets_of` and `models_of`."""
    named = datasets_of(params).keys() | models_of(params).keys()
    left = {name: value for name, value in params.items() if name not in named}
    if params.get("blend"):
        left["blend"] = [
            {name: value for name, value in one.items() if f"blend[{index}].{name}" not in named}
            for index, one in enumerate(params["blend"])
        ]
    return left


def with_ids(params: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    """Return parameters with ids by parameter, the inverse of `without_ids`.

    A name for which there is no place becomes a parameter of its own, which no job has.
    """
    joined = dict(params)
    if isinstance(blend := joined.get("blend"), list | tuple):
        joined["blend"] = blend = [dict(one) if isinstance(one, Mapping) else one for one in blend]
    for name, id_ in named.items():
        place = re.fullmatch(r"blend\[(\d)\]\.(\w+)", name)
        if place and isinstance(blend, list) and int(place[1]) < len(blend) and isinstance(blend[int(place[1])], dict):
            blend[int(place[1])][place[2]] = id_
        else:
            joined[name] = id_
    return joined


def _of_blend(params: Mapping[str, Any], field: str) -> dict[str, str]:
    blend = params.get("blend") or ()
    return {f"blend[{index}].{field}": one[field] for index, one in enumerate(blend) if one.get(field) is not None}
