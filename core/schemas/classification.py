"""The settings of telling which of several finished models a picture comes from."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from core.schemas.learning import MAX_SEED
from core.schemas.sampling import Seed

MIN_MODELS, MAX_MODELS = 2, 16


class ClassifyParams(BaseModel):
    """How well log Z of each model is estimated, by annealed importance sampling; more of each is surer and slower."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chains: Annotated[int, Field(ge=2, le=256, description="Chains of each model.")] = 16
    temperatures: Annotated[
        int, Field(ge=1, le=100_000, description="Densities between white noise and the model's, passed in turn.")
    ] = 100
    steps: Annotated[int, Field(ge=1, le=1000, description="Hamiltonian steps at each of them.")] = 8
    seed: Seed = None

    def resolved(self, model_ids: tuple[str, ...], seed: int) -> "ResolvedClassifyParams":
        """These settings with nothing absent."""
        return ResolvedClassifyParams.model_validate(
            {**self.model_dump(), "model_ids": model_ids, "seed": seed if self.seed is None else self.seed}
        )


class ResolvedClassifyParams(ClassifyParams):
    """Settings with nothing absent, as a job's row keeps them, and the models they are for, each a category."""

    model_ids: Annotated[tuple[str, ...], Field(min_length=MIN_MODELS, max_length=MAX_MODELS)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]

    @property
    def all_steps(self) -> int:
        """Of each model: pilot chains pass through the temperatures first, then those that count."""
        return 2 * self.temperatures * self.steps
