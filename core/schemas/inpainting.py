"""Settings of inpainting: painting the transparent parts of pictures."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.schemas.learned import LearnedSettings, stable_step
from core.schemas.learning import MAX_SEED
from core.schemas.sampling import DEFAULT_STEPS, Seed, Steps, StepSize

MAX_COUNT = 64
MAX_RESULTS = 256  # pictures times count


class InpaintParams(BaseModel):
    """How the transparent parts are painted. Absent settings are taken from the model when the job is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: Annotated[
        int,
        Field(ge=1, le=MAX_COUNT, description=f"Versions of each picture; at most {MAX_RESULTS} in all."),
    ] = 1
    steps: Steps = DEFAULT_STEPS
    step_size: StepSize = None
    seed: Seed = None

    def resolved(self, learned: LearnedSettings, seed: int) -> "ResolvedInpaintParams":
        """Return complete settings. Raises ValidationError if the step size is too large for the model."""
        return ResolvedInpaintParams.model_validate(
            {
                **self.model_dump(),
                "step_size": self.step_size or learned.step_size,
                "seed": seed if self.seed is None else self.seed,
            },
            context=learned.context,
        )


class ResolvedInpaintParams(InpaintParams):
    """Complete settings, as stored with a job."""

    step_size: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]

    _stable = field_validator("step_size")(stable_step)
