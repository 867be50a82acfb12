"""Settings of classification: which of several finished models a picture most likely comes from."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from core.schemas.fields import Seed
from core.schemas.learning import MAX_SEED

MIN_MODELS, MAX_MODELS = 2, 16
MIN_EFFECTIVE_SAMPLES = 2.0  # below it a single chain carries the estimate of log Z


class ClassifyParams(BaseModel):
    """How annealed importance sampling estimates log Z of each model: larger numbers are more accurate, and slower."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chains: Annotated[int, Field(ge=2, le=256, description="Chains for each model.")] = 16
    temperatures: Annotated[
        int, Field(ge=1, le=100_000, description="Intermediate densities between white noise and the model.")
    ] = 100
    steps: Annotated[int, Field(ge=1, le=1000, description="Hamiltonian Monte Carlo steps at each temperature.")] = 8
    seed: Seed = None
    refine: Annotated[
        bool,
        Field(
            description="log Z is estimated in a model's first classification and kept with the model. true: anneal "
            "more chains, at least as slowly, and improve what is kept."
        ),
    ] = False

    def resolved(self, model_ids: tuple[str, ...], seed: int) -> "ResolvedClassifyParams":
        """Return these settings with the models and a seed."""
        return ResolvedClassifyParams.model_validate(
            {**self.model_dump(), "model_ids": model_ids, "seed": seed if self.seed is None else self.seed}
        )


class KeptPartition(BaseModel):
    """What annealed importance sampling has found of a model's log Z, kept with the model.

    log_weights: of all chains that passed `temperatures` with `steps` each; see `core.theory.partition`. The estimate
    from them: value, standard_error, effective_samples.
    """

    model_config = ConfigDict(frozen=True)

    temperatures: int
    steps: int
    log_weights: tuple[float, ...]
    value: float
    standard_error: float
    effective_samples: float

    @property
    def effort(self) -> int:
        """Hamiltonian steps of each chain: weights of more steps vary less."""
        return self.temperatures * self.steps

    @property
    def is_known(self) -> bool:
        """Whether more than a single chain carries the estimate."""
        return self.effective_samples >= MIN_EFFECTIVE_SAMPLES

    def is_enough(self, asked: ClassifyParams) -> bool:
        """Return True if nothing need be annealed for a job with these settings."""
        done = self.effort >= asked.temperatures * asked.steps and len(self.log_weights) >= asked.chains
        return done and not asked.refine

    def summary(self) -> dict[str, float]:
        """Return the estimate and how it was found, without the weights."""
        return {**self.model_dump(exclude={"log_weights"}), "chains": len(self.log_weights)}


class ResolvedClassifyParams(ClassifyParams):
    """Complete settings as stored with a job, and its models, each a category."""

    model_ids: Annotated[tuple[str, ...], Field(min_length=MIN_MODELS, max_length=MAX_MODELS)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]

    @property
    def all_steps(self) -> int:
        """Hamiltonian steps for each model: pilot chains pass all temperatures first, then the chains that are used."""
        return 2 * self.temperatures * self.steps
