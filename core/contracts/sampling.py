"""The settings of sampling pictures from a finished model."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from core.contracts.learning import MAX_SEED

MIN_SIDE = 16
MAX_SIDE = 4096
DEFAULT_STEPS = 200

Side = Annotated[int | None, Field(ge=MIN_SIDE, le=MAX_SIDE)]


class SampleParams(BaseModel):
    """What a sampling job draws. What is absent is taken from the model when the job is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: Annotated[int, Field(ge=1, le=64, description="How many pictures.")] = 4
    width: Annotated[Side, Field(description="Pixels; the model's own size when absent.")] = None
    height: Annotated[Side, Field(description="Pixels; the model's own size when absent.")] = None
    steps: Annotated[int, Field(ge=1, le=100_000, description="Langevin steps of each picture.")] = DEFAULT_STEPS
    step_size: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description="ε, in grey levels, below 2σ; the one learned with when absent."),
    ] = None
    seed: Annotated[
        int | None, Field(ge=0, le=MAX_SEED, description="Seed of starts and noise; drawn when absent.")
    ] = None
    tileable: Annotated[bool, Field(description="Whether the picture continues seamlessly at its opposite side.")] = (
        False
    )

    def resolved(self, learned: "LearnedSettings", seed: int) -> "SampleParams":
        """These settings with nothing absent. ValidationError where the step size is too large for the model."""
        return ResolvedSampleParams.model_validate(
            {
                **self.model_dump(),
                "width": self.width or learned.image_size,
                "height": self.height or learned.image_size,
                "step_size": self.step_size or learned.step_size,
                "seed": seed if self.seed is None else self.seed,
            },
            context={"reference_std": learned.reference_std},
        )


class LearnedSettings(BaseModel):
    """What sampling needs to know of how a model was learned."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    image_size: int
    step_size: float
    reference_std: float


class ResolvedSampleParams(SampleParams):
    """Settings with nothing absent, as a job's row keeps them."""

    width: Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)]
    height: Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)]
    step_size: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]

    @field_validator("step_size")
    @classmethod
    def _stable(cls, step_size: float, info: ValidationInfo) -> float:
        reference_std = (info.context or {}).get("reference_std")
        if reference_std is not None and step_size >= 2 * reference_std:
            raise ValueError(f"must be below 2 x the model's reference_std = {2 * reference_std:g}")
        return step_size
