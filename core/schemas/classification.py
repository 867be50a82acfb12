"""Settings of classification: which of several finished models a picture most likely comes from."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from core.schemas.learning import MAX_SEED
from core.schemas.sampling import Seed

MIN_MODELS, MAX_MODELS = 2, 16


class ClassifyParams(BaseModel):
    """How annealed importance sampling estimates log Z of each model: larger numbers are more accurate, and slower."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chains: Annotated[int, Field(ge=2, le=256, description="Chains for each model.")] = 16
    temperatures: Annotated[
        int, Field(ge=1, le=100_000, description="Intermediate densities between white noise and the model.")
    ] = 100
    steps: Annotated[int, Field(ge=1, le=1000, description="Hamiltonian Monte Carlo steps at each temperature.")] = 8
    seed: Seed = None

    def resolved(self, model_ids: tuple[str, ...], seed: int) -> "ResolvedClassifyParams":
        """Return these settings with the models and a seed."""
        return ResolvedClassifyParams.model_validate(
            {**self.model_dump(), "model_ids": model_ids, "seed": seed if self.seed is None else self.seed}
        )


class ResolvedClassifyParams(ClassifyParams):
    """Complete settings as stored with a job, and its models, each a category."""

    model_ids: Annotated[tuple[str, ...], Field(min_length=MIN_MODELS, max_length=MAX_MODELS)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]

    @property
    def all_steps(self) -> int:
        """Hamiltonian steps for each model: pilot chains pass all temperatures first, then the chains that are used."""
        return 2 * self.temperatures * self.steps
