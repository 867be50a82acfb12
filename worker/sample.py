"""The `sample` job: new pictures of any size from a finished model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from core.engine import Engine, choose_engine
from core.engine.dynamics import Dynamics
from core.pictures.images import resize_periodic, write_picture
from core.recipe.denoising import basis_passes
from core.recipe.learner import dynamics_of
from core.recipe.rendering import tone_of
from core.recipe.tone import Tone
from core.schemas.learned import LearnedSettings
from core.schemas.sampling import ResolvedSampleParams
from core.synthesis.sampling import render, synthesize
from core.synthesis.trained_model import TrainedModel
from core.theory.learning import precision_of
from worker.inputs import open_model
from worker.job_context import JobContext
from worker.progress import ProgressReporter


def sample(desk: JobContext) -> None:
    """Draw `count` pictures, or a shard's share of them.

    Each has a seed of its own, so that none depends on how many are asked for, nor on who draws the others: on
    processors of one kind, byte for byte.
    """
    params = ResolvedSampleParams.model_validate(desk.claim.params)
    press = _Sampler.of(open_model(desk, desk.claim.model_id), params, desk.device)
    desk.note(precision=press.engine.precision)
    pace = ProgressReporter(desk, params.count, params.steps, press.cleaning)
    for done in range(params.count):
        index = desk.claim.first + done
        pixels = press.picture(index, partial(pace.tell, done, done + 1))
        name = f"synthesized-{index:03d}.png"
        desk.add_artifact(name, "image/png", write_picture(pixels), (params.width, params.height))
    desk.succeed()


@dataclass(frozen=True)
class _Sampler:
    """A model, set up to draw what a job asks for."""

    model: TrainedModel
    params: ResolvedSampleParams
    dynamics: Dynamics
    engine: Engine
    tone: Tone
    device: torch.device

    @classmethod
    def of(cls, model: TrainedModel, params: ResolvedSampleParams, device: torch.device) -> "_Sampler":
        # An object's net and one of patches are bound to their size; every other draws on a torus of any size.
        fixed = LearnedSettings.model_validate(model.params.model_dump()).only_size is not None
        learned = dynamics_of(model.params, model.levels.box)
        boundary = model.params.boundary if fixed else "torus"
        dynamics = replace(learned, step_size=params.step_size, boundary=boundary)
        engine = choose_engine(precision_of(model.params), device)
        return cls(model, params, dynamics, engine, tone_of(model.net, model.chains, model.params, engine), device)

    @property
    def cleaning(self) -> int:
        """What it takes to clean a picture of its noise, in Langevin steps."""
        return basis_passes(self.model.net, self.model.params.picture_noise, self.dynamics.random_lattice)

    def picture(self, index: int, after_step: Callable[[float], None]) -> Tensor:
        """Number `index` of the job's -> (C, height, width) bytes. `after_step` is told of steps and of `cleaning`."""
        params, model = self.params, self.model

        def after_part(share: float) -> None:
            after_step(params.steps + share * self.cleaning)

        chains = synthesize(
            model.net,
            1,
            params.height,
            params.width,
            steps=params.steps,
            dynamics=self.dynamics,
            generator=torch.Generator(self.device).manual_seed((params.seed + index) % 2**63),
            start=self._start(index),
            engine=self.engine,
            after_step=after_step,
        )
        noise_std = model.params.picture_noise
        developed = render(
            model.net, chains, model.levels, noise_std, self.dynamics, self.engine, self.tone, after_part
        )
        pixels: Tensor = developed[0]
        del chains  # of a large canvas the most of the memory
        # On the torus the sides are multiples of the net's stride, a few pixels more than asked for at the most.
        if params.tileable:
            return resize_periodic(pixels, params.height, params.width)
        return pixels[:, : params.height, : params.width]

    def _start(self, index: int) -> Tensor:
        """The chains the model was learned with; where a picture begins as one of them, the one whose turn it is."""
        chains = self.model.chains
        if self.dynamics.boundary == "torus":
            return chains
        return chains[(self.params.seed + index) % len(chains)][None]
