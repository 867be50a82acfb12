"""Several finished models, prepared to draw pictures on one canvas as a sampling job asks for them."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from core.engine import choose_engine
from core.engine.tiling import PROJECTED_ROWS
from core.pictures.images import to_bytes
from core.pictures.sums import sums
from core.recipe.denoising import stride_phases
from core.recipe.learner import dynamics_of
from core.recipe.rendering import tone_of
from core.recipe.tone import Tone
from core.schemas.sampling import ResolvedSampleParams
from core.synthesis.blend_weights import Canvas, read_weights, top_weights
from core.synthesis.blending import Blend, Boxes, Expert
from core.synthesis.conditions import Condition, Guide, run_steps
from core.synthesis.sampler import GUIDE_BLUR, ModelSampler, Sampler, guide_picture
from core.synthesis.sampling import patchwork
from core.synthesis.trained_model import TrainedModel
from core.synthesis.variations import prepare_picture, start_variation
from core.theory.learning import precision_of


@dataclass(frozen=True)
class BlendSampler(Sampler):
    """Draws pictures of which each pixel is of several models, by their weights there.

    models, tones: of `blend.experts`, in their order. start: the picture of which variations are drawn, and
    noise_std (1, 1, H, W) the noise that the models' training pictures were under; both in the canvas's units.
    """

    models: tuple[TrainedModel, ...]
    tones: tuple[Tone, ...]
    blend: Blend
    canvas: Canvas
    conditions: tuple[Condition, ...]
    start: Tensor | None = None
    noise_std: Tensor | None = None

    @property
    def denoising_steps(self) -> int:
        return self.blend.denoising_passes

    def run(self, index: int, generator: torch.Generator, after_step: Callable[[float], None]) -> Tensor:  # noqa: ARG002
        params = self.params
        step = partial(self.blend.step, params.step_size)
        begin = self._begin(generator, partial(after_step, 0.0))
        return run_steps(step, begin, params.steps_taken, params.step_size, generator, self.conditions, after_step)

    def render(self, chain: Tensor, after_part: Callable[[float], None]) -> Tensor:
        """Return each model's part in its own tone and grey levels; see `Sampler.render`.

        The tone keeps the mean of the chain, as in `core.synthesis.sampling.render`.
        """
        clean = self.blend.denoised(chain, after_part)
        means = [one.scale * sums(one.weight * chain) / sums(one.weight) for one in self.blend.experts]
        as_bytes = not self.models[0].maps
        pixels = torch.empty(clean.shape, dtype=torch.uint8 if as_bytes else torch.float32)
        for first in range(0, clean.shape[2], PROJECTED_ROWS):
            rows = slice(first, first + PROJECTED_ROWS)
            levels = torch.zeros_like(clean[:, :, rows])
            for expert, model, tone, mean in zip(self.blend.experts, self.models, self.tones, means, strict=True):
                toned = tone.apply(expert.scale * clean[:, :, rows], mean)
                levels += expert.weight[:, :, rows] * model.levels.to_grey_levels(toned)
            pixels[:, :, rows] = to_bytes(levels.cpu()) if as_bytes else levels.cpu()
        return pixels[0]

    def _begin(self, generator: torch.Generator, after_row: Callable[[], None]) -> Tensor:
        """Return where a chain begins: each model's part at its own chains, or between these and the start."""
        fresh = torch.zeros(1, len(self.models[0].levels.mean), *self.canvas.sides, device=self.device)
        for model, expert in zip(self.models, self.blend.experts, strict=True):
            stride = model.net.architecture.total_stride
            laid = patchwork(model.chains, *self.canvas.sides, stride, generator, after_row)
            fresh += expert.weight * laid / expert.scale
        strength = self.params.start_strength
        if self.start is None or strength is None or self.noise_std is None:
            return fresh
        return start_variation(self.start, fresh, strength, self.noise_std, generator)


def open_sampler(
    models: Sequence[TrainedModel],
    params: ResolvedSampleParams,
    masks: Sequence[bytes | None] = (),
    start: bytes | None = None,
    guide: bytes | None = None,
    end: bytes | None = None,
    check_stop: Callable[[], None] = lambda: None,
) -> Sampler:
    """Prepare models, the job's own first, to draw what `params` ask for.

    masks, start, guide, end: picture files; a mask for each of `params.blend`. If no other model has a weight anywhere,
    the first draws the pictures as without a blend, bit for bit. `check_stop` is called between the parts of the work;
    an exception that it raises ends it. Raises ValueError if the models are of different maps.
    """
    if any(model.maps != models[0].maps for model in models):
        raise ValueError("the models of a blend must be of the same maps")
    if len(models) > 1:
        stride = math.lcm(*(model.net.architecture.total_stride for model in models))
        window = max(model.net.architecture.receptive_field for model in models)
        canvas = Canvas.of(params, stride, window)
        weights = read_weights(params.blend or (), masks, canvas, window, check_stop)
        if any(weight.any() for weight in weights[1:]):
            return _blend_sampler(models, weights, canvas, params, start, guide, check_stop)
    return ModelSampler.of(models[0], params, start, guide, end)


def _blend_sampler(
    models: Sequence[TrainedModel],
    weights: Sequence[Tensor],
    canvas: Canvas,
    params: ResolvedSampleParams,
    start: bytes | None,
    guide: bytes | None,
    check_stop: Callable[[], None],
) -> BlendSampler:
    drawn = [(model, weight) for model, weight in zip(models, weights, strict=True) if weight.any()]
    models, reference_std = tuple(model for model, _ in drawn), models[0].net.architecture.reference_std
    device = models[0].chains.device
    engine = choose_engine(precision_of(models[0].params), device)
    experts = tuple(_expert(model, weight.to(device), reference_std) for model, weight in drawn)
    tones = tuple(tone_of(model.net, model.chains, model.params, engine) for model in models)

    def read(prepare: Callable[[TrainedModel], Tensor]) -> Iterator[Tensor]:
        for model in models:
            check_stop()
            yield canvas.extend(prepare(model))

    conditions: list[Condition] = []
    if guide is not None and params.guide_strength:
        picture = _joined(experts, read(lambda model: guide_picture(guide, model, *canvas.size)))
        window = max(model.net.architecture.receptive_field for model in models)
        conditions.append(Guide(picture, params.guide_strength, reference_std, GUIDE_BLUR * window))
    blend = Blend(experts, engine, reference_std)
    sampler = BlendSampler(params, engine, device, models, tones, blend, canvas, (*conditions, Boxes(experts)))
    if start is None:
        return sampler
    picture = _joined(experts, read(lambda model: prepare_picture(start, model, *canvas.size)))
    noise_std = _joined(experts, (torch.tensor(model.params.picture_noise).to(device) for model in models))
    return replace(sampler, start=picture, noise_std=noise_std)


def _expert(model: TrainedModel, weight: Tensor, reference_std: float) -> Expert:
    dynamics = dynamics_of(model.params, model.levels.box)
    return Expert(
        net=model.net,
        scale=model.net.architecture.reference_std / reference_std,
        mask=top_weights(weight),
        weight=weight,
        random_lattice=dynamics.random_lattice,
        phases=stride_phases(model.net) if dynamics.random_lattice else (0,),
        noise_std=model.params.picture_noise,
        box=dynamics.box,
    )


def _joined(experts: Sequence[Expert], own: Iterable[Tensor]) -> Tensor:
    """Return what is given in each model's own grey levels, each by its weight, in the canvas's units."""
    joined = torch.zeros_like(experts[0].weight)
    for expert, one in zip(experts, own, strict=True):
        joined = joined + expert.weight * one / expert.scale
    return joined
