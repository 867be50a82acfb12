"""Langevin dynamics: sample p(I; w), driven by the auto-encoder's reconstruction error (eq. 10, 19)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.schemas.geometry import Boundary
from core.theory.decoding import basis
from core.theory.model import GenerativeConvNet


@dataclass(frozen=True)
class LangevinCoefficients:
    """Eq. 19 as one weighted sum: I <- image I + basis B + noise Z."""

    image: float
    basis: float
    noise: float


def drift_factor(step_size: float) -> float:
    """Return ε²/2, by which a step of eq. 19 multiplies the gradient of the log density. ε in grey levels."""
    return step_size**2 / 2


def langevin_coefficients(step_size: float, reference_std: float) -> LangevinCoefficients:
    """Return 1 - ε²/2σ², ε²/2 and ε, by which a step of eq. 19 multiplies I, B and Z; ε and σ in grey levels."""
    half = drift_factor(step_size)
    return LangevinCoefficients(image=1 - half / reference_std**2, basis=half, noise=step_size)


@torch.no_grad()
def langevin_step(
    net: GenerativeConvNet,
    images: Tensor,
    step_size: float,
    generator: torch.Generator | None = None,
    noise: Tensor | None = None,
    boundary: Boundary = "valid",
) -> Tensor:
    """Return one step of eq. 19 for any σ: I - ε²/2 (I / σ² - B) + ε Z, Z ~ N(0, 1).

    images (N, C, H, W) in grey levels, `step_size` ε in grey levels; `noise` (N, C, H, W) replaces Z.
    """
    if noise is None:
        noise = torch.randn(images.shape, generator=generator, dtype=images.dtype, device=images.device)
    step = langevin_coefficients(step_size, net.architecture.reference_std)
    moved = images * step.image
    return moved.add_(basis(net, images, boundary), alpha=step.basis).add_(noise, alpha=step.noise)
