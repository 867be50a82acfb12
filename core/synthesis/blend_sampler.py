"""Several finished models, prepared to draw pictures on one canvas as a sampling job asks for them."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from core.engine import choose_engine
from core.engine.interface import Watch
from core.engine.tiling import PROJECTED_ROWS
from core.pictures.images import reduce, to_bytes
from core.pictures.patchwork import patchwork
from core.pictures.sums import sums
from core.recipe.denoising import stride_phases
from core.recipe.preparation import dynamics_of
from core.recipe.rendering import tone_of
from core.recipe.tone import Tone
from core.schemas.sampling import ResolvedSampleParams
from core.synthesis.blend_weights import Canvas, read_weights, strengths
from core.synthesis.blending import Agreement, Blend, Boxes, Expert, SeenGuide, seen_picture
from core.synthesis.conditions import BLUR, Condition, Guide, run_steps
from core.synthesis.sampler import PREVIEW_SIDE, ModelSampler, Sampler, guide_picture
from core.synthesis.trained_model import TrainedModel
from core.synthesis.variations import prepare_picture, start_variation
from core.theory.learning import precision_of


@dataclass(frozen=True)
class BlendSampler(Sampler):
    """Draws pictures of which each pixel is of several models, by their weights there.

    models, tones: of `blend.experts`, in their order. start: the picture of which variations are drawn, as each model
    sees it (M, C, H, W), and noise_std (M, 1, 1, 1) the noise that the models' training pictures were under; both in
    the canvas's units. A chain is the models' canvases, (M, C, H, W).
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
        """See `Sampler.denoising_steps`."""
        return self.blend.denoising_passes

    def run(
        self,
        index: int,  # noqa: ARG002
        generator: torch.Generator,
        after_step: Callable[[float], None],
        watch: Watch | None = None,
    ) -> Tensor:
        """Return canvases (M, C, H, W); see `Sampler.run`."""
        params = self.params
        step = partial(self.blend.step, params.step_size)
        return run_steps(
            step,
            self._begin(generator, partial(after_step, 0.0)),  # without a name, which would keep it during all steps
            params.steps_taken,
            params.step_size,
            generator,
            self.conditions,
            after_step,
            watch,
        )

    def preview(self, chain: Tensor) -> Tensor:
        """Return what is seen of canvases (M, C, H, W), small; see `Sampler.preview`."""
        small = reduce(chain, PREVIEW_SIDE).cpu()
        levels = torch.zeros_like(small[:1])
        for canvas, expert, model in zip(small, self.blend.experts, self.models, strict=True):
            own = model.levels.to_grey_levels(expert.scale * canvas[None])
            levels += reduce(expert.weight, PREVIEW_SIDE).cpu() * own
        return levels[0] if self.models[0].maps else to_bytes(levels[0])

    def render(self, chain: Tensor, after_part: Callable[[float], None]) -> Tensor:
        """Return each model's part in its own tone and grey levels; see `Sampler.render`.

        The tone keeps the mean of the chain, as in `core.synthesis.sampling.render`.
        """
        clean, seen = self.blend.denoised(chain, after_part), self.blend.seen(chain)
        means = [one.scale * sums(one.weight * seen) / sums(one.weight) for one in self.blend.experts]
        as_bytes = not self.models[0].maps
        pixels = torch.empty(clean.shape, dtype=torch.uint8 if as_bytes else torch.float32)
        height = clean.shape[2]
        for first in range(0, height, PROJECTED_ROWS):
            rows = slice(first, min(first + PROJECTED_ROWS, height))
            levels = torch.zeros_like(clean[:, :, rows])
            for expert, model, tone, mean in zip(self.blend.experts, self.models, self.tones, means, strict=True):
                around = torch.arange(rows.start - tone.reach, rows.stop + tone.reach, device=clean.device) % height
                toned = tone.apply(expert.scale * clean[:, :, around], mean)
                inside = toned[:, :, tone.reach : tone.reach + levels.shape[2]]
                levels += expert.weight[:, :, rows] * model.levels.to_grey_levels(inside)
            pixels[:, :, rows] = to_bytes(levels.cpu()) if as_bytes else levels.cpu()
        return pixels[0]

    def _begin(self, generator: torch.Generator, after_row: Callable[[], None]) -> Tensor:
        """Return where the models' canvases begin: at their own chains, or between these and the start."""
        count, channels = len(self.models), len(self.models[0].levels.mean)
        begin = torch.empty(count, channels, *self.canvas.sides, device=self.device)
        for model, expert, canvas in zip(self.models, self.blend.experts, begin, strict=True):
            stride = model.net.architecture.total_stride
            canvas.copy_(patchwork(model.chains, *self.canvas.sides, stride, generator, after_row)[0] / expert.scale)
        strength = self.params.start_strength
        if self.start is not None and strength is not None and self.noise_std is not None:
            begin = start_variation(self.start, begin, strength, self.noise_std, generator)
        return Agreement(self.blend.experts).constrain(begin)


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
    tones = tuple(tone_of(model.net, model.chains, model.params, engine, model.detail_filter) for model in models)

    def read(prepare: Callable[[TrainedModel], Tensor]) -> Iterator[Tensor]:
        for model in models:
            check_stop()
            yield canvas.extend(prepare(model))

    conditions: list[Condition] = []
    if guide is not None and params.guide_strength:
        picture = seen_picture(experts, _joined(experts, read(lambda model: guide_picture(guide, model, *canvas.size))))
        window = max(model.net.architecture.receptive_field for model in models)
        of_seen = Guide(picture, params.guide_strength, reference_std, BLUR * window)
        conditions.append(SeenGuide(experts, of_seen))
    blend = Blend(experts, engine, reference_std)
    conditions += [Boxes(experts), Agreement(experts)]
    sampler = BlendSampler(params, engine, device, models, tones, blend, canvas, tuple(conditions))
    if start is None:
        return sampler
    picture = _joined(experts, read(lambda model: prepare_picture(start, model, *canvas.size)))
    noise_std = torch.tensor([expert.noise_std / expert.scale for expert in experts], device=device)
    return replace(sampler, start=picture, noise_std=noise_std[:, None, None, None])


def _expert(model: TrainedModel, weight: Tensor, reference_std: float) -> Expert:
    dynamics = dynamics_of(model.params, model.levels.box)
    return Expert(
        net=model.net,
        scale=model.net.architecture.reference_std / reference_std,
        weight=weight,
        strength=strengths(weight),
        random_lattice=dynamics.random_lattice,
        phases=stride_phases(model.net) if dynamics.random_lattice else (0,),
        noise_std=model.params.picture_noise,
        box=dynamics.box,
    )


def _joined(experts: tuple[Expert, ...], own: Iterable[Tensor]) -> Tensor:
    """Return what is given in each model's own grey levels, (1, C, H, W) each, as canvases in the canvas's units."""
    canvases = torch.cat([one / expert.scale for expert, one in zip(experts, own, strict=True)])
    return Agreement(experts).constrain(canvases)
