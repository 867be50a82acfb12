"""Several finished models, prepared to draw pictures on one canvas as a sampling job asks for them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from core.engine import Engine, choose_engine
from core.engine.tiling import PROJECTED_ROWS
from core.pictures.images import resize_periodic, rms, to_bytes
from core.recipe.denoising import stride_phases
from core.recipe.learner import dynamics_of
from core.recipe.rendering import tone_of
from core.recipe.tone import Tone
from core.schemas.sampling import ResolvedSampleParams
from core.synthesis.blending import Blend, Boxes, Expert
from core.synthesis.conditions import Condition, Guide, run_steps
from core.synthesis.sampler import GUIDE_BLUR, Sampler, guide_picture
from core.synthesis.sampling import patchwork
from core.synthesis.shares import Canvas, read_shares, top_weights
from core.synthesis.trained_model import TrainedModel
from core.synthesis.variations import prepare_picture, variation_std
from core.theory.learning import precision_of


@dataclass(frozen=True)
class BlendSampler:
    """Draws pictures in which each model has its share; used as `Sampler` is.

    models, tones: of `blend.experts`, in their order. start: the picture of which variations are drawn, and
    start_std (1, 1, H, W) its noise; both in the canvas's units.
    """

    models: tuple[TrainedModel, ...]
    tones: tuple[Tone, ...]
    blend: Blend
    canvas: Canvas
    params: ResolvedSampleParams
    conditions: tuple[Condition, ...]
    start: Tensor | None = None
    start_std: Tensor | None = None

    @property
    def engine(self) -> Engine:
        return self.blend.engine

    @property
    def denoising_steps(self) -> int:
        """The cost of denoising a picture, in Langevin steps."""
        return self.blend.denoising_passes

    def draw(self, index: int, after_step: Callable[[float], None]) -> Tensor:
        """Return picture `index` of the job; see `Sampler.draw`."""
        params = self.params
        generator = torch.Generator(self.models[0].chains.device).manual_seed((params.seed + index) % 2**63)
        step = partial(self.blend.step, params.step_size)
        begin = self._begin(generator, partial(after_step, 0.0))
        chains = run_steps(step, begin, params.steps_taken, params.step_size, generator, self.conditions, after_step)

        def after_part(share: float) -> None:
            after_step(params.steps_taken + share * self.denoising_steps)

        pixels = self._render(chains, self.blend.denoised(chains, after_part))
        if params.tileable:
            return resize_periodic(pixels, params.height, params.width)
        return pixels[:, : params.height, : params.width]

    def _begin(self, generator: torch.Generator, after_row: Callable[[], None]) -> Tensor:
        """Return where a chain begins: at the start under noise, or each model's part at its own chains."""
        if self.start is not None:
            assert self.params.start_strength is not None and self.start_std is not None  # noqa: PT018
            noise = torch.randn(self.start.shape, generator=generator, device=self.start.device)
            return (1 - self.params.start_strength) * self.start + self.start_std * noise
        begin = torch.zeros(1, len(self.models[0].levels.mean), *self.canvas.sides, device=generator.device)
        for model, expert in zip(self.models, self.blend.experts, strict=True):
            stride = model.net.architecture.total_stride
            laid = patchwork(model.chains, *self.canvas.sides, stride, generator, after_row)
            begin += expert.share * laid / expert.scale
        return begin

    def _render(self, chains: Tensor, clean: Tensor) -> Tensor:
        """Return each model's part in its own tone and grey levels: bytes (C, H, W), or of a material float32.

        The tone keeps the mean of the chains, as in `core.synthesis.sampling.render`.
        """
        means = []
        for expert in self.blend.experts:
            weighted, total = (_sums(one) for one in (expert.share * chains, expert.share))
            means.append(expert.scale * weighted / total)
        as_bytes = not self.models[0].maps
        pixels = torch.empty(clean.shape, dtype=torch.uint8 if as_bytes else torch.float32)
        for first in range(0, clean.shape[2], PROJECTED_ROWS):
            rows = slice(first, first + PROJECTED_ROWS)
            levels = torch.zeros_like(clean[:, :, rows])
            for expert, model, tone, mean in zip(self.blend.experts, self.models, self.tones, means, strict=True):
                toned = tone.apply(expert.scale * clean[:, :, rows], mean)
                levels += expert.share[:, :, rows] * model.levels.to_grey_levels(toned)
            pixels[:, :, rows] = to_bytes(levels.cpu()) if as_bytes else levels.cpu()
        return pixels[0]


def open_sampler(
    models: Sequence[TrainedModel],
    params: ResolvedSampleParams,
    masks: Sequence[bytes | None] = (),
    start: bytes | None = None,
    guide: bytes | None = None,
    end: bytes | None = None,
) -> Sampler | BlendSampler:
    """Prepare models, the job's own first, to draw what `params` ask for.

    masks, start, guide, end: picture files; a mask for each of `params.blend`. If no other model has a share of the
    picture, the first draws it as without a blend, bit for bit. Raises ValueError if the models are of different maps.
    """
    if any(model.maps != models[0].maps for model in models):
        raise ValueError("the models of a blend must be of the same maps")
    if len(models) > 1:
        stride = math.lcm(*(model.net.architecture.total_stride for model in models))
        window = max(model.net.architecture.receptive_field for model in models)
        canvas = Canvas.of(params, stride, window)
        shares = read_shares(params.blend or (), masks, canvas, window)
        if any(share.any() for share in shares[1:]):
            return _blend_sampler(models, shares, canvas, params, start, guide)
    return Sampler.of(models[0], params, start, guide, end)


def _blend_sampler(
    models: Sequence[TrainedModel],
    shares: Sequence[Tensor],
    canvas: Canvas,
    params: ResolvedSampleParams,
    start: bytes | None,
    guide: bytes | None,
) -> BlendSampler:
    drawn = [(model, share) for model, share in zip(models, shares, strict=True) if share.any()]
    models, reference_std = tuple(model for model, _ in drawn), models[0].net.architecture.reference_std
    device = models[0].chains.device
    engine = choose_engine(precision_of(models[0].params), device)
    experts = tuple(_expert(model, share.to(device), reference_std) for model, share in drawn)
    tones = tuple(tone_of(model.net, model.chains, model.params, engine) for model in models)
    conditions: list[Condition] = []
    if guide is not None and params.guide_strength:
        picture = _joined(experts, [canvas.extend(guide_picture(guide, one, *canvas.size)) for one in models])
        window = max(model.net.architecture.receptive_field for model in models)
        conditions.append(Guide(picture, params.guide_strength, reference_std, GUIDE_BLUR * window))
    sampler = BlendSampler(
        models, tones, Blend(experts, engine, reference_std), canvas, params, (*conditions, Boxes(experts))
    )
    if start is None:
        return sampler
    assert params.start_strength is not None
    pictures = [canvas.extend(prepare_picture(start, model, *canvas.size)) for model in models]
    stds = [
        torch.tensor(variation_std(params.start_strength, rms(model.chains), model.params.picture_noise)).to(device)
        for model in models
    ]
    return replace(sampler, start=_joined(experts, pictures), start_std=_joined(experts, stds))


def _expert(model: TrainedModel, share: Tensor, reference_std: float) -> Expert:
    dynamics = dynamics_of(model.params, model.levels.box)
    return Expert(
        net=model.net,
        scale=model.net.architecture.reference_std / reference_std,
        mask=top_weights(share),
        share=share,
        random_lattice=dynamics.random_lattice,
        phases=stride_phases(model.net) if dynamics.random_lattice else (0,),
        noise_std=model.params.picture_noise,
        box=dynamics.box,
    )


def _joined(experts: Sequence[Expert], own: Sequence[Tensor]) -> Tensor:
    """Return what is given in each model's own grey levels, each in its share, in the canvas's units."""
    joined = torch.zeros_like(experts[0].share)
    for expert, one in zip(experts, own, strict=True):
        joined = joined + expert.share * one / expert.scale
    return joined


def _sums(picture: Tensor) -> Tensor:
    """Sum (1, C, H, W) line by line -> (1, C, 1, 1): bit-identical on any number of threads; see `tone.means`."""
    return picture.contiguous().sum(dim=3, keepdim=True).sum(dim=2, keepdim=True)
