"""Several models on one canvas: a product of experts, each of which continues under the others.

Model m has a canvas I_m of its own. Where a pixel is wholly its own, that is what is seen. Where it has no part, its
texture goes on unseen below the others, so that its units see the same texture on both sides of a border, and nothing
fades there. Where several models have a part, their canvases are the same. In units in which σ is that of the first
model: a model of another σ_m sees (σ_m/σ) I_m, in its own grey levels about its own mean.

A pixel that one model has, or that is unseen, moves by B_m - I_m/σ² of its canvas. A pixel that several share moves by
Σ_m weight_m strength_m B_m - I/σ². If weights are the same at all pixels, this is the gradient of a log density: of the
sum of weight_m strength_m f_m and the reference. If they differ it is the gradient of none. Masks on the top units,
whose drift always is one, leave a rim along each border (docs/experiments/blends.md).
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from core.engine import Engine, PreparedNet
from core.engine.dynamics import random_phase
from core.engine.noise import Noise
from core.engine.tiling import PROJECTED_ROWS, needs_tiles, tiles
from core.pictures.colour_box import ColourBox
from core.pictures.known_pixels import seeing_units
from core.synthesis.conditions import Condition, Guide
from core.theory.boundary import continue_periodically
from core.theory.langevin import langevin_coefficients
from core.theory.model import GenerativeConvNet


class Part(NamedTuple):
    """A part of a canvas and its B (1, C, h, w); None if nothing that is seen depends on it in this step.

    done: fraction of all.
    """

    rows: slice
    columns: slice
    basis: Tensor | None
    done: float

    def of(self, canvas: Tensor) -> Tensor:
        """Return the part's pixels of a canvas (..., H, W), a view."""
        return canvas[..., self.rows, self.columns]


@dataclass(frozen=True)
class Expert:
    """One of the models of a blend.

    scale: σ_m / σ. weight (1, 1, H, W): how much of a pixel is this model's, 0 to 1; those of all experts sum to one.
    strength (1, 1, H, W): factor on B, see `core.synthesis.blend_weights.strengths`.
    random_lattice: as in `Dynamics`. phases: offsets of the stride phases that are averaged when it denoises.
    noise_std: of the noise that the training pictures were under, in the model's own grey levels.
    box: of its colours, in the model's own grey levels; None for no bounds.
    """

    net: GenerativeConvNet
    scale: float
    weight: Tensor
    strength: Tensor
    random_lattice: bool = False
    phases: Sequence[int] = (0,)
    noise_std: float = 0.0
    box: ColourBox | None = None

    def prepare(self, engine: Engine) -> PreparedNet:
        """Prepare the net for pictures in the canvas's units: f(σ_m/σ I), whose first filters are so much stronger."""
        net = copy.deepcopy(self.net)
        with torch.no_grad():
            net.weights[0].mul_(self.scale)
        return engine.prepare(net)

    def basis(self, prepared: PreparedNet, canvas: Tensor, phase: tuple[int, int]) -> Iterator[Part]:
        """Yield B of this model's periodic canvas (1, C, H, W), in the canvas's units, in one part or in tiles.

        prepared: what `prepare` returns. phase: see `PreparedNet.basis`.
        """
        if not needs_tiles(self.net.architecture, canvas):
            yield Part(slice(None), slice(None), prepared.basis(canvas, "torus", phase), 1.0)
            return
        parts = list(tiles(self.net.architecture, canvas, phase=phase))
        for done, tile in enumerate(parts, start=1):
            of_tile = None
            if tile.window(self.weight).any():
                of_tile = tile.crop(prepared.basis(tile.window(canvas), "valid"))
            yield Part(tile.rows, tile.columns, of_tile, done / len(parts))


@dataclass(frozen=True)
class Blend:
    """Models whose canvases (M, C, H, W), one for each, have sides that are multiples of every net's stride.

    reference_std: σ.
    """

    experts: tuple[Expert, ...]
    engine: Engine
    reference_std: float

    @cached_property
    def _prepared(self) -> tuple[PreparedNet, ...]:
        return tuple(expert.prepare(self.engine) for expert in self.experts)

    @property
    def denoising_passes(self) -> int:
        """How many times `denoised` computes B of the model that takes most."""
        return max(len(expert.phases) ** 2 if expert.noise_std else 0 for expert in self.experts)

    def step(
        self,
        step_size: float,
        canvases: Tensor,
        generator: torch.Generator,
        after_part: Callable[[float], None] | None = None,
    ) -> Tensor:
        """Return canvases (M, C, H, W) after a step of eq. 19, all with the same noise; parts without B stay.

        `Agreement` has to follow. See `core.synthesis.conditions.Step`.
        """
        coefficients = langevin_coefficients(step_size, self.reference_std)
        moved = torch.empty_like(canvases, memory_format=torch.contiguous_format)
        Noise(generator).fill(moved[0].view(-1), coefficients.noise)
        moved[1:] = moved[:1]
        moved.add_(canvases, alpha=coefficients.image)
        for index, (expert, prepared) in enumerate(zip(self.experts, self._prepared, strict=True)):
            stride = expert.net.architecture.total_stride
            phase = random_phase(stride, generator) if expert.random_lattice else (0, 0)
            before, after = canvases[index : index + 1], moved[index : index + 1]
            for part in expert.basis(prepared, before, phase):
                if part.basis is None:
                    part.of(after).copy_(part.of(before))
                else:
                    part.of(after).addcmul_(part.of(expert.strength), part.basis, value=coefficients.basis)
                if after_part is not None:
                    after_part((index + part.done) / len(self.experts))
        return moved

    def denoised(self, canvases: Tensor, after_part: Callable[[float], None] | None = None) -> Tensor:
        """Return the clean picture that is seen (1, C, H, W), in the canvas's units.

        Of each model the posterior mean I_m + s² (strength B_m - I_m/σ²), with s² the variance of its noise; see
        `core.recipe.denoising`.
        """
        if not self.denoising_passes:
            return self.seen(canvases)
        variances = [(expert.noise_std / expert.scale) ** 2 for expert in self.experts]
        clean = self.seen(canvases, [1 - variance / self.reference_std**2 for variance in variances])
        noisy = [(index, one) for index, one in enumerate(self.experts) if one.noise_std]
        passes = [(index, phase) for index, one in noisy for phase in product(one.phases, one.phases)]
        for done, (index, phase) in enumerate(passes):
            expert = self.experts[index]
            factor = variances[index] / len(expert.phases) ** 2
            for part in expert.basis(self._prepared[index], canvases[index : index + 1], phase):
                if part.basis is not None:
                    share = part.of(expert.weight) * part.of(expert.strength)
                    part.of(clean).addcmul_(share, part.basis, value=factor)
                if after_part is not None:
                    after_part((done + part.done) / len(passes))
        return clean

    def seen(self, canvases: Tensor, factors: Sequence[float] | None = None) -> Tensor:
        """Return the picture that is seen, see `seen_picture`. factors: on each of the canvases."""
        return seen_picture(self.experts, canvases, factors)


def seen_picture(experts: Sequence[Expert], canvases: Tensor, factors: Sequence[float] | None = None) -> Tensor:
    """Return the picture that is seen of canvases (M, C, H, W) -> (1, C, H, W). factors: on each of them."""
    picture = torch.zeros_like(canvases[:1])
    for expert, canvas, factor in zip(experts, canvases, factors or [1.0] * len(canvases), strict=True):
        picture.addcmul_(expert.weight, canvas, value=factor)
    return picture


@dataclass(frozen=True)
class Boxes(Condition):
    """Each canvas is confined to the colour box of its model, in place.

    What several models share may leave it again when `Agreement` follows: their mean need not lie in each of the boxes.
    """

    experts: tuple[Expert, ...]

    def constrain(self, chains: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Confine canvases (M, C, H, W), in place; see `Condition.constrain`."""
        for one, canvas in zip(self.experts, chains, strict=True):
            if one.box is not None:
                for rows in torch.split(canvas[None], PROJECTED_ROWS, dim=2):
                    rows.copy_(one.box.project(one.scale * rows) / one.scale)
        return chains


@dataclass(frozen=True)
class Agreement(Condition):
    """Where several models have a part of a pixel, it becomes the same on all canvases: their mean by the weights.

    In place.
    """

    experts: tuple[Expert, ...]

    def constrain(self, chains: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """Replace shared pixels of canvases (M, C, H, W) by their means, in place; see `Condition.constrain`."""
        for first in range(0, chains.shape[2], PROJECTED_ROWS):
            rows = slice(first, first + PROJECTED_ROWS)
            weights = [expert.weight[0, :, rows] for expert in self.experts]
            canvases = chains[:, :, rows]
            mean = torch.zeros_like(canvases[0])
            for weight, canvas in zip(weights, canvases, strict=True):
                mean.addcmul_(weight, canvas)
            for weight, canvas in zip(weights, canvases, strict=True):
                torch.where((weight > 0) & (weight < 1), mean, canvas, out=canvas)
        return chains


@dataclass(frozen=True)
class SeenGuide(Condition):
    """The guide of a blend: it holds the picture that is seen, and moves all canvases alike.

    What is unseen follows as far as B of a seen pixel depends on it, so that a texture has the same light on both sides
    of a border. The rest is left alone: it may lie in tiles that are not computed.
    Where models share a pixel their factors on B sum to κ > 1, which amplifies light and dark as well as structure:
    such pixels would follow the guide farther than others, as a line along the border. So what the guide compares of
    the picture, KᵀK I, is drawn to the mean by (κ - 1)/σ² more there.
    guide: of the picture that is seen.
    """

    experts: tuple[Expert, ...]
    guide: Guide

    def drift(self, chains: Tensor) -> Tensor:
        """Return the drift of canvases (M, C, H, W), in 1 / grey levels; see `Condition.drift`."""
        seen = seen_picture(self.experts, chains)
        drift = self.guide.drift(seen).addcmul_(self._excess, self._to_mean.drift(seen))
        return torch.where(self._followed, drift, 0.0)

    @cached_property
    def _excess(self) -> Tensor:
        """κ - 1 (1, 1, H, W), 0 where a model is alone."""
        total = torch.zeros_like(self.experts[0].weight)
        for expert in self.experts:
            total.addcmul_(expert.weight, expert.strength)
        return total - 1

    @cached_property
    def _to_mean(self) -> Guide:
        return replace(self.guide, picture=torch.zeros_like(self.guide.picture), strength=1.0)

    @cached_property
    def _followed(self) -> Tensor:
        """Which pixels of each canvas the guide moves, bool (M, 1, H, W)."""
        reaches = (expert.net.architecture.receptive_field - 1 for expert in self.experts)
        parts = zip(self.experts, reaches, strict=True)
        return torch.cat([_widened(expert.weight > 0, reach) for expert, reach in parts])


def _widened(mask: Tensor, reach: int) -> Tensor:
    """Return a periodic mask (1, 1, H, W), bool, with all pixels up to `reach` rows and columns away."""
    return ~seeing_units(continue_periodically(mask, reach), 2 * reach + 1, stride=1)
