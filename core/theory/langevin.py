"""Langevin dynamics: sampling p(I; w), driven by the auto-encoder's reconstruction error (eq. 10, 19)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.pictures.colour_box import Box
from core.schemas.learning import Boundary
from core.theory.decoding import basis
from core.theory.model import GenerativeConvNet


@dataclass(frozen=True)
class Dynamics:
    """How chains move. step_size: ε, in grey levels. boundary: where their pictures end.

    box: within which they are kept. random_lattice: whether they are `moved_at_random` before each step.
    """

    step_size: float
    boundary: Boundary = "valid"
    box: Box | None = None
    random_lattice: bool = False

    def rates(self, reference_std: float) -> tuple[float, float]:
        """What a step multiplies I and B by: 1 - ε²/2σ² and ε²/2 (eq. 19)."""
        half = self.step_size**2 / 2
        return 1 - half / reference_std**2, half


@torch.no_grad()
def langevin_step(
    net: GenerativeConvNet,
    images: Tensor,
    step_size: float,
    generator: torch.Generator | None = None,
    noise: Tensor | None = None,
    boundary: Boundary = "valid",
) -> Tensor:
    """One step of eq. 19 for any σ: I - ε²/2 (I / σ² - B) + ε Z, Z ~ N(0, 1).

    images (N, C, H, W) in grey levels, `step_size` ε in grey levels; `noise` (N, C, H, W) takes the place of Z.
    """
    if noise is None:
        noise = torch.randn(images.shape, generator=generator, dtype=images.dtype, device=images.device)
    variance, half = net.architecture.reference_std**2, step_size**2 / 2
    moved = images * (1 - half / variance)
    return moved.add_(basis(net, images, boundary), alpha=half).add_(noise, alpha=step_size)


def moved_at_random(images: Tensor, stride: int, generator: torch.Generator | None) -> Tensor:
    """Periodic pictures (N, C, H, W) moved by 0 to `stride` - 1 pixels each way, so that the net's lattice lies anew.

    A net that sub-samples favours the places of its lattice, and the pictures show it. Moved so before each step, the
    chains follow an unbiased estimate of the gradient of f's mean over all places (stochastic gradient Langevin
    dynamics, Welling and Teh 2011): of the net that does not sub-sample, at the cost of the one that does.
    """
    return images if stride == 1 else images.roll(lattice_shift(stride, generator), dims=(2, 3))


def lattice_shift(stride: int, generator: torch.Generator | None) -> tuple[int, int]:
    """0 to `stride` - 1 pixels down and to the right, at random."""
    device = "cpu" if generator is None else generator.device
    down, right = torch.randint(stride, (2,), generator=generator, device=device).tolist()
    return down, right


def run_chains(
    net: GenerativeConvNet,
    images: Tensor,
    steps: int,
    dynamics: Dynamics,
    generator: torch.Generator | None = None,
    after_step: Callable[[float], None] | None = None,
) -> Tensor:
    """`steps` Langevin steps of N parallel chains from `images` (N, C, H, W).

    `after_step(steps done)` is told of each; what it raises ends the run.
    """
    for step in range(1, steps + 1):
        if dynamics.random_lattice:
            images = moved_at_random(images, net.architecture.total_stride, generator)
        images = langevin_step(net, images, dynamics.step_size, generator, boundary=dynamics.boundary)
        if dynamics.box is not None:
            images = dynamics.box.hold(images)
        if after_step is not None:
            after_step(step)
    return images
