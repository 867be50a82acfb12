"""Remove the white noise that a model was trained under from the pictures it synthesizes."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from core.schemas.geometry import Boundary
from core.theory.decoding import basis
from core.theory.model import GenerativeConvNet

MAX_PHASES = 4  # stride phases averaged along each side

BasisFunction = Callable[[GenerativeConvNet, Tensor, Boundary], Tensor]  # computes B as `core.theory.decoding.basis`


@torch.no_grad()
def denoise(
    net: GenerativeConvNet,
    images: Tensor,
    noise_std: float,
    boundary: Boundary = "valid",
    random_lattice: bool = False,
    compute_basis: BasisFunction = basis,
) -> Tensor:
    """Return the posterior mean of the clean picture: I + s² (B - I/σ²) with s = `noise_std`, in grey levels.

    Exact if p is the density of pictures under white noise of standard deviation s (Miyasawa 1961; Raphan and
    Simoncelli 2011), which is what a net learns from pictures under that noise. For s = σ it is the reconstruction
    σ² B. For s = 0 the pictures are returned unchanged. images (N, C, H, W) -> the same shape.

    With `random_lattice`, B is averaged over stride phases (`phase_averaged_basis`). `compute_basis` replaces
    `core.theory.decoding.basis`, for example with an engine's.
    """
    if not noise_std:
        return images
    shrunk = images * (1 - (noise_std / net.architecture.reference_std) ** 2)
    average = (
        phase_averaged_basis(net, images, boundary, compute_basis)
        if random_lattice
        else compute_basis(net, images, boundary)
    )
    return shrunk.add_(average, alpha=noise_std**2)


def basis_passes(net: GenerativeConvNet, noise_std: float, random_lattice: bool) -> int:
    """Return how many times `denoise` computes B, for progress reports."""
    if not noise_std:
        return 0
    return len(stride_phases(net)) ** 2 if random_lattice else 1


def phase_averaged_basis(
    net: GenerativeConvNet, images: Tensor, boundary: Boundary = "valid", compute_basis: BasisFunction = basis
) -> Tensor:
    """Return B averaged over stride phases, at most MAX_PHASES along each side. (N, C, H, W) -> (N, C, H, W).

    Exact on the torus. On other boundaries, rolling brings up to a stride of pixels from the opposite side.
    """
    phases = stride_phases(net)
    total = torch.zeros_like(images)
    for down, right in product(phases, phases):
        rolled = compute_basis(net, images.roll((down, right), dims=(2, 3)), boundary)
        total += rolled.roll((-down, -right), dims=(2, 3))
    return total / len(phases) ** 2


def stride_phases(net: GenerativeConvNet) -> range:
    """Return the offsets in pixels, along one side, of the stride phases that are averaged."""
    stride = net.architecture.total_stride
    return range(0, stride, -(-stride // MAX_PHASES))
