"""Painting what is unknown of a picture: Langevin dynamics of the unknown pixels, the known ones held (eq. 19).

The conditional density p(I_unknown | I_known) ∝ p(I) has the same gradient on the unknown pixels as p(I) itself, so a
step of eq. 19, after which the known pixels are put back, is a step of its Langevin dynamics.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from core.contracts.learning import Boundary
from core.langevin import langevin_step
from core.model import GenerativeConvNet


@torch.no_grad()
def inpaint(
    net: GenerativeConvNet,
    images: Tensor,
    known: Tensor,
    *,
    steps: int,
    step_size: float,
    generator: torch.Generator,
    boundary: Boundary = "valid",
    start: Tensor | None = None,
    after_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Pictures (N, C, H, W) with what is unknown painted by `steps` Langevin steps -> (N, C, H, W), grey levels.

    known (N, 1, H, W), bool: there the pixels are those of `images`, exactly; elsewhere `images` does not matter.
    start (N, C, H, W): what the unknown pixels begin as, by default what surrounds them (see `fill_in`).
    `after_step(step, images)` is told of each step; what it raises ends the run.
    """
    painted = torch.where(known, images, fill_in(images, known) if start is None else start)
    for step in range(1, steps + 1):
        painted = torch.where(known, images, langevin_step(net, painted, step_size, generator, boundary=boundary))
        if after_step is not None:
            after_step(step, painted)
    return _shown(painted)


def _shown(painted: Tensor) -> Tensor:
    """What is made of the chains' last state; the known pixels stay as they are. (N, C, H, W) -> the same."""
    return painted


def fill_in(images: Tensor, known: Tensor) -> Tensor:
    """Smooth continuations of the known pixels into the unknown: means of ever larger blocks of what is known.

    images (N, C, H, W); known (N, 1, H, W), bool -> (N, C, H, W). A picture without a known pixel becomes zero, the
    mean of its kind.
    """
    weights, held = known.to(images.dtype), images.masked_fill(~known, 0)
    if min(images.shape[-2:]) == 1 or bool(known.all()):
        total = held.sum(dim=(2, 3), keepdim=True)
        return torch.where(known, images, total / weights.sum(dim=(2, 3), keepdim=True).clamp_min(1))
    share = functional.avg_pool2d(weights, 2, ceil_mode=True)
    blocks = functional.avg_pool2d(held, 2, ceil_mode=True) / share.clamp_min(torch.finfo(share.dtype).tiny)
    coarse = fill_in(blocks, share > 0)
    smooth = functional.interpolate(coarse, size=images.shape[-2:], mode="bilinear")
    return torch.where(known, images, smooth)
