"""Parameters of the Langevin dynamics (eq. 19), and two extensions: a colour box and random stride phases."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.pictures.colour_box import ColourBox
from core.schemas.geometry import Boundary


@dataclass(frozen=True)
class Dynamics:
    """How chains move. step_size: ε, in grey levels. boundary: how the net sees the pictures' edges.

    box: the chains are projected into it after each step.
    random_lattice: the chains are rolled to a random stride phase before each step; see `roll_to_random_phase`.
    """

    step_size: float
    boundary: Boundary = "valid"
    box: ColourBox | None = None
    random_lattice: bool = False

    def draw_phase(self, stride: int, generator: torch.Generator) -> tuple[int, int]:
        """Draw the stride phase of the next step (`random_phase`); (0, 0) without `random_lattice`."""
        return random_phase(stride, generator) if self.random_lattice else (0, 0)


def roll_to_random_phase(
    images: Tensor, stride: int, generator: torch.Generator | None
) -> tuple[Tensor, tuple[int, int]]:
    """Roll periodic pictures (N, C, H, W) by 0 to `stride` - 1 random pixels down and to the right, all alike.

    Returns them and these pixels.

    A net that sub-samples treats the pixels of a stride differently, and its pictures show that grid. Rolled before
    each step, the chains follow an unbiased estimate of the gradient of f's mean over all stride phases (stochastic
    gradient Langevin dynamics, Welling and Teh 2011). That mean is the score of the net without sub-sampling, at the
    cost of the net with it.
    """
    if stride == 1:
        return images, (0, 0)
    phase = random_phase(stride, generator)
    return images.roll(phase, dims=(2, 3)), phase


def random_phase(stride: int, generator: torch.Generator | None) -> tuple[int, int]:
    """Draw a stride phase: 0 to `stride` - 1 pixels down and to the right."""
    device = "cpu" if generator is None else generator.device
    down, right = torch.randint(stride, (2,), generator=generator, device=device).tolist()
    return down, right
