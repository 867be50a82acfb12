"""Several models on one canvas: a product of experts, each of which scores its own part of the picture.

log p(I) = Σ_m Σ_x mask_m(x) f_m(x) - ‖I‖²/2σ² up to a constant, with f_m(x) what position x of the top map adds to the
score of model m (eq. 6). So B = Σ_m B_m with mask_m for B^(L) (eq. 16), exact for any masks. The canvas is in units in
which σ is that of the first model: a model of another σ_m sees (σ_m/σ) I, in its own grey levels about its own mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from core.engine import Engine
from core.engine.dynamics import random_phase
from core.engine.noise import Noise
from core.engine.tiling import PROJECTED_ROWS, needs_tiles, tiles
from core.pictures.colour_box import ColourBox
from core.schemas.geometry import Boundary
from core.synthesis.conditions import Condition
from core.theory.langevin import langevin_coefficients
from core.theory.model import Architecture, GenerativeConvNet


@dataclass(frozen=True)
class Expert:
    """One of the models of a blend.

    scale: σ_m / σ. mask (1, 1, H, W): the weight of the top unit whose window has its centre at a pixel.
    weight (1, 1, H, W): how much of a pixel is this model's; those of all experts sum to one.
    random_lattice: as in `Dynamics`. phases: offsets of the stride phases that are averaged when it denoises.
    noise_std: of the noise that the training pictures were under, in the model's own grey levels.
    box: of its colours, in the model's own grey levels; None for no bounds.
    """

    net: GenerativeConvNet
    scale: float
    mask: Tensor
    weight: Tensor
    random_lattice: bool = False
    phases: Sequence[int] = (0,)
    noise_std: float = 0.0
    box: ColourBox | None = None

    def add_basis(
        self,
        engine: Engine,
        canvas: Tensor,
        phase: tuple[int, int],
        total: Tensor,
        factor: float = 1.0,
        after_part: Callable[[float], None] | None = None,
    ) -> None:
        """Add `factor` times this model's B of a periodic canvas (1, C, H, W) to `total`, in place.

        phase: the strides lie as on the canvas rolled by so many pixels down and to the right.
        `after_part(fraction done)` is called after each tile of a canvas that is computed in tiles.
        """
        architecture, alpha = self.net.architecture, factor * self.scale
        if not needs_tiles(architecture, canvas):
            rolled, mask = (one.roll(phase, (2, 3)) for one in (canvas, self.mask))
            basis = engine.basis(self.net, self.scale * rolled, "torus", top_mask(architecture, mask, "torus"))
            total.add_(basis.roll((-phase[0], -phase[1]), (2, 3)), alpha=alpha)
            return
        parts = list(tiles(architecture, canvas, phase=phase))
        for done, tile in enumerate(parts, start=1):
            mask = top_mask(architecture, tile.window(self.mask), "valid")
            if mask.any():
                basis = engine.basis(self.net, self.scale * tile.window(canvas), "valid", mask)
                tile.of(total).add_(tile.crop(basis), alpha=alpha)
            if after_part is not None:
                after_part(done / len(parts))


@dataclass(frozen=True)
class Blend:
    """Models on one periodic canvas whose sides are multiples of every net's stride. reference_std: σ."""

    experts: tuple[Expert, ...]
    engine: Engine
    reference_std: float

    @property
    def denoising_passes(self) -> int:
        """How many times `denoised` computes B of the model that takes most."""
        noisy = any(expert.noise_std for expert in self.experts)
        return max(len(expert.phases) ** 2 for expert in self.experts) if noisy else 0

    def step(
        self,
        step_size: float,
        chains: Tensor,
        generator: torch.Generator,
        after_part: Callable[[float], None] | None = None,
    ) -> Tensor:
        """Return chains (1, C, H, W) after a step of eq. 19; see `core.synthesis.conditions.Step`."""
        coefficients = langevin_coefficients(step_size, self.reference_std)
        moved = torch.empty_like(chains, memory_format=torch.contiguous_format)
        Noise(generator).fill(moved.view(-1), coefficients.noise)
        moved.add_(chains, alpha=coefficients.image)
        for index, expert in enumerate(self.experts):
            stride = expert.net.architecture.total_stride
            phase = random_phase(stride, generator) if expert.random_lattice else (0, 0)
            after = _shifted(after_part, index, len(self.experts))
            expert.add_basis(self.engine, chains, phase, moved, coefficients.basis, after)
        return moved

    def denoised(self, chains: Tensor, after_part: Callable[[float], None] | None = None) -> Tensor:
        """Return the posterior mean of the clean picture, I + s(x)² (B - I/σ²), in the canvas's units.

        s(x)²: the variance of the noise of the models of a pixel, by `weight`. See `core.recipe.denoising`.
        """
        if not self.denoising_passes:
            return chains
        variance = torch.zeros_like(chains[:, :1])
        for expert in self.experts:
            variance += expert.weight * (expert.noise_std / expert.scale) ** 2
        clean = chains * (1 - variance / self.reference_std**2)
        passes = [(expert, phase) for expert in self.experts for phase in product(expert.phases, expert.phases)]
        for index, (expert, phase) in enumerate(passes):
            basis = torch.zeros_like(chains)
            factor = 1 / len(expert.phases) ** 2
            expert.add_basis(self.engine, chains, phase, basis, factor, _shifted(after_part, index, len(passes)))
            clean += variance * basis
        return clean


@dataclass(frozen=True)
class Boxes(Condition):
    """Each pixel is projected into the colour box of its model; if it is of several, to the mean of what they ask."""

    experts: tuple[Expert, ...]

    def constrain(self, chains: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        moved = chains.clone()
        for first in range(0, chains.shape[2], PROJECTED_ROWS):
            rows = slice(first, first + PROJECTED_ROWS)
            before = chains[:, :, rows]
            for one in self.experts:
                if one.box is not None:
                    inside = one.box.project(one.scale * before) / one.scale
                    moved[:, :, rows] += one.weight[:, :, rows] * (inside - before)
        return moved


def top_mask(architecture: Architecture, mask: Tensor, boundary: Boundary) -> Tensor:
    """Return a mask (1, 1, H, W) at the centres of the windows of the top units -> (1, 1, H_L, W_L).

    boundary: "torus", or "valid".
    """
    stride, window = architecture.total_stride, architecture.receptive_field
    centre = (window - 1) // 2
    if boundary == "torus":
        return mask.roll((-centre, -centre), (2, 3))[..., ::stride, ::stride]
    last = window - 1 - centre
    return mask[..., centre : mask.shape[2] - last : stride, centre : mask.shape[3] - last : stride]


def _shifted(after_part: Callable[[float], None] | None, index: int, count: int) -> Callable[[float], None] | None:
    """Return a callback for part `index` of `count`, which reports the fraction that is done of all."""
    return None if after_part is None else lambda fraction: after_part((index + fraction) / count)
