"""Settings of sampling pictures from a finished model."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from core.schemas.learned import LearnedSettings, learned_of, stable_step
from core.schemas.learning import MAX_SEED

MIN_SIDE = 16
MAX_SIDE = 8192
MIN_PATCH_SIDE = 2
DEFAULT_STEPS = 200

SHARD_PICTURES = 8  # in a shard at most: little work to repeat after a failure, much compared with claiming a shard
SHARD_PIXELS = SHARD_PICTURES * 512**2  # in a shard at most, if it holds several pictures

Side = Annotated[int | None, Field(ge=MIN_PATCH_SIDE, le=MAX_SIDE)]
Steps = Annotated[int, Field(ge=1, le=100_000, description="Langevin steps for each picture.")]
StepSize = Annotated[
    float | None,
    Field(gt=0, allow_inf_nan=False, description="ε, in grey levels, below 2σ; that of learning if absent."),
]
Seed = Annotated[int | None, Field(ge=0, le=MAX_SEED, description="Seed of starts and noise; random if absent.")]

_SIDE = (
    f"Pixels, at least {MIN_SIDE}; the model's own size if absent. Models of objects, and of patches but for windows "
    "of a texture (boundary torus), have no other size."
)


class SampleParams(BaseModel):
    """What a sampling job draws. Absent settings are taken from the model when the job is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            description=f"Number of pictures; more than {SHARD_PICTURES} are divided among workers. Pictures of an "
            "object start from the chains it was learned with (num_chains of them) and stay near them.",
        ),
    ] = 4
    width: Annotated[Side, Field(description=_SIDE)] = None
    height: Annotated[Side, Field(description=_SIDE)] = None
    steps: Steps = DEFAULT_STEPS
    step_size: StepSize = None
    seed: Seed = None
    tileable: Annotated[bool, Field(description="true: the picture continues seamlessly at its opposite side.")] = False

    def resolved(self, learned: LearnedSettings, seed: int) -> "ResolvedSampleParams":
        """Return complete settings. Raises ValidationError if the model cannot draw such pictures."""
        return ResolvedSampleParams.model_validate(
            {
                **self.model_dump(),
                "width": self.width or learned.side,
                "height": self.height or learned.side,
                "step_size": self.step_size or learned.step_size,
                "seed": seed if self.seed is None else self.seed,
            },
            context=learned.context,
        )


class ResolvedSampleParams(SampleParams):
    """Complete settings, as stored with a job."""

    width: Annotated[int, Field(ge=MIN_PATCH_SIDE, le=MAX_SIDE)]
    height: Annotated[int, Field(ge=MIN_PATCH_SIDE, le=MAX_SIDE)]
    step_size: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]

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
