"""Finished models, prepared to draw pictures as a sampling job asks for them; here one, in `blend_sampler` several."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from core.engine import Engine, choose_engine
from core.engine.dynamics import Dynamics
from core.engine.interface import Watch
from core.pictures.images import reduce, resize_periodic, rms, to_bytes
from core.pictures.patchwork import patchwork
from core.recipe.denoising import basis_passes
from core.recipe.preparation import dynamics_of
from core.recipe.rendering import tone_of
from core.recipe.tone import Tone
from core.schemas.geometry import round_up
from core.schemas.sampling import ResolvedSampleParams
from core.synthesis.conditions import Condition, Guide
from core.synthesis.sampling import render, synthesize
from core.synthesis.trained_model import TrainedModel
from core.synthesis.variations import between, prepare_picture, start_variation
from core.theory.learning import precision_of

PREVIEW_SIDE = 512  # pixels at most
MEASURED_SIDE = 256  # pixels at most, of the copy of a guide whose contrast is measured


@dataclass(frozen=True)
class Sampler(ABC):
    """Draws the pictures of a job. Each has a seed of its own, so it does not depend on the others.

    engine: computes B. device: of the chains.
    """

    params: ResolvedSampleParams
    engine: Engine
    device: torch.device

    @property
    @abstractmethod
    def denoising_steps(self) -> int:
        """The cost of denoising a picture, in Langevin steps."""

    @abstractmethod
    def run(
        self,
        index: int,
        generator: torch.Generator,
        after_step: Callable[[float], None],
        watch: Watch | None = None,
    ) -> Tensor:
        """Return the chain (1, C, H, W) of picture `index` after all steps, at least as large as the picture.

        Of several models one canvas each (M, C, H, W).
        """

    @abstractmethod
    def preview(self, chain: Tensor) -> Tensor:
        """Return a chain as it is, with its noise, reduced to PREVIEW_SIDE -> (C, h, w): uint8, of a material float32.

        Costs much less than a Langevin step.
        """

    @abstractmethod
    def render(self, chain: Tensor, after_part: Callable[[float], None]) -> Tensor:
        """Return the pixels (C, H, W) of a chain, denoised: uint8, or of a material float32.

        `after_part(fraction done)` is called between the parts of the work.
        """

    def draw(self, index: int, after_step: Callable[[float], None], watch: Watch | None = None) -> Tensor:
        """Return picture `index` of the job as (C, height, width): uint8, or of a material grey levels in float32.

        `after_step(steps done)` is called after each Langevin step; denoising counts as `denoising_steps` more. An
        exception that it raises ends the work. watch: gets what `preview` returns instead of chains.
        """
        params = self.params

        def after_part(fraction: float) -> None:
            after_step(params.steps_taken + fraction * self.denoising_steps)

        def watch_chain(step: int, look: Callable[[], Tensor]) -> None:
            if watch is not None:
                watch(step, lambda: self.preview(look()))

        generator = torch.Generator(self.device).manual_seed(params.seed_of(index))
        chain = self.run(index, generator, after_step, watch_chain)
        pixels = self.render(chain, after_part)
        del chain  # most of the memory of a large canvas
        # The canvas may be larger: on the torus its sides are multiples of the net's stride.
        if params.tileable:
            return resize_periodic(pixels, params.height, params.width)
        return pixels[:, : params.height, : params.width]


@dataclass(frozen=True)
class ModelSampler(Sampler):
    """Draws pictures from one model.

    start: the picture of which variations are drawn, end: the one to pass to from it; (1, C, H, W), in grey levels
    about the mean.
    """

    model: TrainedModel
    dynamics: Dynamics
    tone: Tone
    start: Tensor | None = None
    end: Tensor | None = None
    conditions: tuple[Condition, ...] = ()

    @classmethod
    def of(
        cls,
        model: TrainedModel,
        params: ResolvedSampleParams,
        start: bytes | None = None,
        guide: bytes | None = None,
        end: bytes | None = None,
    ) -> "ModelSampler":
        """Prepare a model, on the device of its chains.

        start, guide: picture files, to draw variations of the one, guided by the other. end: one to pass to from start.

        Nets of objects and of patches draw pictures of their own size only; all others draw on a torus of any size.
        """
        learned = dynamics_of(model.params, model.levels.box)
        boundary = model.params.boundary if model.params.fixed_size else "torus"
        dynamics = replace(learned, step_size=params.step_size, boundary=boundary)
        device = model.chains.device
        engine = choose_engine(precision_of(model.params), device)
        tone = tone_of(model.net, model.chains, model.params, engine, model.detail_filter)
        stride = model.net.architecture.total_stride if boundary == "torus" else 1
        sides = round_up(params.height, stride), round_up(params.width, stride)
        first, last = (None if one is None else prepare_picture(one, model, *sides) for one in (start, end))
        conditions = (guide_of(guide, model, params.guide_strength, *sides),) if guide and params.guide_strength else ()
        return cls(params, engine, device, model, dynamics, tone, first, last, conditions)

    @property
    def denoising_steps(self) -> int:
        """See `Sampler.denoising_steps`."""
        return basis_passes(self.model.net, self.model.params.picture_noise, self.dynamics.random_lattice)

    def run(
        self,
        index: int,
        generator: torch.Generator,
        after_step: Callable[[float], None],
        watch: Watch | None = None,
    ) -> Tensor:
        """Return a chain (1, C, H, W); see `Sampler.run`."""
        return synthesize(
            self.model.net,
            1,
            self.params.height,
            self.params.width,
            steps=self.params.steps_taken,
            dynamics=self.dynamics,
            generator=generator,
            start=self._chains(index),
            engine=self.engine,
            after_step=after_step,
            begin=self._begin(index, generator, after_step),
            conditions=self.conditions,
            layout_strength=self.params.layout_strength or 0.0,
            watch=watch,
        )

    def preview(self, chain: Tensor) -> Tensor:
        """Return a chain (1, C, H, W), small; see `Sampler.preview`."""
        levels = self.model.levels.to_grey_levels(reduce(chain, PREVIEW_SIDE).cpu())[0]
        return levels if self.model.maps else to_bytes(levels)

    def render(self, chain: Tensor, after_part: Callable[[float], None]) -> Tensor:
        """Return the pixels of a chain (1, C, H, W) as (C, H, W); see `Sampler.render`."""
        model = self.model
        rendered = render(
            model.net,
            chain,
            model.levels,
            model.params.picture_noise,
            self.dynamics,
            self.engine,
            self.tone,
            after_part,
            as_bytes=not model.maps,
        )
        pixels: Tensor = rendered[0]
        return pixels

    def _begin(self, index: int, generator: torch.Generator, after_step: Callable[[float], None]) -> Tensor | None:
        """Return where a variation begins, of the picture or of one on the way to the end; None without a picture."""
        if self.start is None:
            return None
        shares, strength = self.params.end_shares, self.params.start_strength
        picture = self.start if self.end is None or shares is None else between(self.start, self.end, shares[index])
        assert strength is not None
        fresh = self._chains(index)
        if self.dynamics.boundary == "torus":
            stride, (height, width) = self.model.net.architecture.total_stride, picture.shape[2:]
            fresh = patchwork(fresh, height, width, stride, generator, partial(after_step, 0.0))
        return start_variation(picture, fresh, strength, self.model.params.picture_noise, generator)

    def _chains(self, index: int) -> Tensor:
        """Return the model's chains to start from; for pictures of fixed size the one whose turn it is."""
        chains = self.model.chains
        if self.dynamics.boundary == "torus":
            return chains
        return chains[(self.params.seed + index) % len(chains)][None]


def guide_of(content: bytes, model: TrainedModel, strength: float, height: int, width: int) -> Guide:
    """Return the guide that a picture file is, in the nearest colours that the model draws.

    What is finer than about the net's window is left to the model.
    """
    return Guide.of(model.net.architecture, guide_picture(content, model, height, width), strength)


def guide_picture(content: bytes, model: TrainedModel, height: int, width: int) -> Tensor:
    """Read a guide as the model's training pictures were prepared, in its colours -> (1, C, height, width)."""
    return model.levels.box.project(prepare_picture(content, model, height, width, slow_light=True))


def guide_contrast(content: bytes, model: TrainedModel, height: int, width: int) -> float:
    """Return the spread of a guide's colours, before the model's nearest take their place, in units of the chains'."""
    scale = min(1.0, MEASURED_SIDE / max(height, width))
    rows, columns = (max(1, round(scale * side)) for side in (height, width))
    spread = max(rms(model.chains), model.net.architecture.reference_std)
    return rms(prepare_picture(content, model, rows, columns, slow_light=True)) / spread
