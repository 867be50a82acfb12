"""Types of fields that several kinds of jobs have."""

from typing import Annotated

from pydantic import Field

from core.schemas.learning import MAX_SEED

DEFAULT_STEPS = 200  # Langevin steps for each picture that is sampled or inpainted

DatasetId = Annotated[str | None, Field(min_length=1, max_length=40)]
Steps = Annotated[int, Field(ge=1, le=100_000, description="Langevin steps for each picture.")]
StepSize = Annotated[
    float | None,
    Field(
        gt=0,
        allow_inf_nan=False,
        description="In grey levels, below 2 x reference_std; that of learning if absent. In the paper: ε.",
    ),
]
Seed = Annotated[int | None, Field(ge=0, le=MAX_SEED, description="Seed of starts and noise; random if absent.")]
