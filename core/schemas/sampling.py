"""Settings of sampling pictures from a finished model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from core.schemas.blending import MAX_BLENDED, BlendedModel
from core.schemas.fields import DEFAULT_STEPS, DatasetId, Seed, Steps, StepSize
from core.schemas.learned import LearnedSettings, learned_of, stable_step
from core.schemas.learning import MAX_SEED

MIN_SIDE = 16
MAX_SIDE = 8192
MIN_PATCH_SIDE = 2
MAX_COUNT = 64  # pictures of a job
CANVAS_STEPS = 60  # for pictures laid with patches of a canvas, which are large and have few seams to mend
DEFAULT_START_STRENGTH = 0.4
DEFAULT_GUIDE_STRENGTH = 0.05
DEFAULT_LAYOUT_STRENGTH = 1.0  # for models that were learned on a canvas: docs/experiments/layout-strength.md
MAX_BLENDED_PIXELS = MAX_SIDE**2  # of a picture times its models, each of which has a canvas: some 6 GB in colour

SHARD_PICTURES = 8  # in a shard at most: little work to repeat after a failure, much compared with claiming a shard
SHARD_PIXELS = SHARD_PICTURES * 512**2  # in a shard at most, if it holds several pictures

Side = Annotated[int | None, Field(ge=MIN_PATCH_SIDE, le=MAX_SIDE)]

_SIDE = (
    f"Pixels. The model's own size if absent. Models of a fixed size draw only that; others draw at least {MIN_SIDE}."
)


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

    layout_strength: Annotated[
        float | None,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="How closely each picture keeps the layout that it begins with: what is light, dark or "
            "coloured over more than the net's window. 0: not at all; 1: as strongly as the reference distribution "
            f"holds the chains. If absent {DEFAULT_LAYOUT_STRENGTH:g} for a model that was learned on a canvas "
            "(canvas_iterations), for pictures without a start, a guide or a blend; else 0. Blends keep no layout, of "
            "whatever models: 0 or absent with blend. Not for models of objects or patches.",
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
        return _below_divergence(strength, 0.0, info)

    @field_validator("layout_strength")
    @classmethod
    def _can_be_held(cls, strength: float | None, info: ValidationInfo) -> float | None:
        if not strength:
            return strength
        learned = learned_of(info)
        if info.data.get("blend") is not None:
            raise ValueError("must be absent or 0 with blend: blends keep no layout")
        if learned is not None and learned.only_size is not None:
            raise ValueError(f"must be absent: {learned.only_size}")
        return _below_divergence(strength, info.data.get("guide_strength") or 0.0, info)

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
                "layout_strength": self._layout_strength(learned),
                "end_shares": self.end_shares or (even_shares(self.count) if self.end_dataset_id else None),
            },
            context=learned.context,
        )

    def _default_steps(self, learned: LearnedSettings) -> int:
        """Return the Langevin steps for each picture if none are asked for."""
        return CANVAS_STEPS if self._begins_as_patchwork(learned) else DEFAULT_STEPS

    def _layout_strength(self, learned: LearnedSettings) -> float:
        """Return `layout_strength`, or its default."""
        if self.layout_strength is not None:
            return self.layout_strength
        highest = _highest_strength(learned, self.step_size or learned.step_size)
        return max(min(DEFAULT_LAYOUT_STRENGTH, highest / 2), 0.0) if self._begins_as_patchwork(learned) else 0.0

    def _begins_as_patchwork(self, learned: LearnedSettings) -> bool:
        """True if pictures begin as patches of a canvas and of nothing else."""
        others = self.start_dataset_id, self.guide_dataset_id, self.blend
        return bool(learned.canvas_iterations) and not any(others)


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


def _below_divergence(strength: float, others: float, info: ValidationInfo) -> float:
    """Return a strength under which a step, with the pull of `others`, does not overshoot. Else raise ValueError."""
    learned, step_size = learned_of(info), info.data.get("step_size")
    if learned is not None and step_size is not None:
        highest = _highest_strength(learned, step_size) - others
        if strength >= highest:
            raise ValueError(f"must be below {highest:g} with a step_size of {step_size:g}: chains would diverge")
    return strength


def _highest_strength(learned: LearnedSettings, step_size: float) -> float:
    """Return the strength of a guide from which on steps overshoot: ε²/2 (1 + s)/σ² must be below 2."""
    return 4 * learned.reference_std**2 / step_size**2 - 1


def _default(strength: float | None, dataset_id: str | None, default: float) -> float | None:
    """Return a strength, or its default if its picture is given."""
    return default if strength is None and dataset_id is not None else strength


def with_later_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a sampling job as they were stored, with those that older versions did not store.

    They have the values with which the same pictures are drawn again, not today's defaults.
    """
    return {"layout_strength": 0.0, **params}


def even_shares(count: int) -> tuple[float, ...]:
    """Return `count` shares from 0 to 1, or one half."""
    return tuple(index / (count - 1) for index in range(count)) if count > 1 else (0.5,)
