"""Parameters of the Langevin dynamics (eq. 19), and two extensions: a colour box and random stride phases."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.pictures.colour_box import ColourBox
from core.schemas.geometry import Boundary


@dataclass(frozen=True)
class Dynamics:
    """How chains move. step_size: ε, in grey levels. boundary: where their pictures end.

    box: within which they are kept. random_lattice: whether they are `roll_to_random_phase` before each step.
    """

    step_size: float
    boundary: Boundary = "valid"
    box: ColourBox | None = None
    random_lattice: bool = False


def roll_to_random_phase(images: Tensor, stride: int, generator: torch.Generator | None) -> Tensor:
    """Periodic pictures (N, C, H, W) moved by 0 to `stride` - 1 pixels each way, so that the net's lattice lies anew.

    A net that sub-samples favours the places of its lattice, and the pictures show it. Moved so before each step, the
    chains follow an unbiased estimate of the gradient of f's mean over all places (stochastic gradient Langevin
    dynamics, Welling and Teh 2011): of the net that does not sub-sample, at the cost of the one that does.
    """
    return images if stride == 1 else images.roll(random_phase(stride, generator), dims=(2, 3))


def random_phase(stride: int, generator: torch.Generator | None) -> tuple[int, int]:
    """0 to `stride` - 1 pixels down and to the right, at random."""
    device = "cpu" if generator is None else generator.device
    down, right = torch.randint(stride, (2,), generator=generator, device=device).tolist()
    return down, right
