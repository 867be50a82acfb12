"""Langevin dynamics: sample p(I; w), driven by the auto-encoder's reconstruction error (eq. 10, 19)."""

import torch
from torch import Tensor

from core.schemas.geometry import Boundary
from core.theory.decoding import basis
from core.theory.model import GenerativeConvNet


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
