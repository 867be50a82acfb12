"""What steps at single stride phases leave in the chains: a pattern with the period of the net's stride.

f averaged over all stride phases treats all pixels alike, but each step uses one phase (`Dynamics.random_lattice`) and
leaves a little of it at every `stride`-th pixel. On smooth pictures that adds up: 1.3 grey levels on scratched steel,
whose peak at these frequencies was four to twelve times the photograph's. Where a picture itself repeats with this
period, it stays.
"""

import math

import torch
from torch import Tensor

from core.pictures.images import rms

MIN_REPEATS = 8  # of the stride along a side: a smaller picture is mostly such a pattern
BY_CHANCE = 2.0  # times what white noise leaves: a stronger pattern is a picture's own


def stride_pattern(images: Tensor, stride: int) -> Tensor:
    """Return the mean of the pixels of each stride phase, about the mean of all: (N, C, stride, stride).

    images (N, C, H, W); pixels beyond a multiple of the stride are left out.
    """
    height, width = (side // stride * stride for side in images.shape[2:])
    phases = _by_phase(images[..., :height, :width], stride).mean(dim=(2, 4))
    return phases - phases.mean(dim=(2, 3), keepdim=True)


def pattern_limit(images: Tensor, stride: int, pixels: int) -> float:
    """Return the root mean square that the pattern of a picture of so many pixels has, if it is like `images`.

    Noise and texture leave less of it the larger a picture is; a pattern of their own does not depend on the size.
    """
    strength, own_pixels = rms(stride_pattern(images, stride)), images.shape[2] * images.shape[3]
    centred = images - images.mean(dim=(2, 3), keepdim=True)
    if strength > BY_CHANCE * rms(centred) * stride / math.sqrt(own_pixels):
        return strength
    return strength * math.sqrt(own_pixels / pixels)


def limit_stride_pattern_(images: Tensor, stride: int, limit: float) -> Tensor:
    """Reduce the pattern of periodic pictures (N, C, H, W) in place to a root mean square of `limit`; return them.

    H and W are multiples of the stride. Nothing changes where the pattern is fainter, or has fewer than MIN_REPEATS.
    """
    if stride == 1 or min(images.shape[2:]) < MIN_REPEATS * stride:
        return images
    pattern = stride_pattern(images, stride)
    strength = pattern.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    excess = pattern * (1 - limit / strength.clamp(min=limit)) if limit else pattern
    _by_phase(images, stride).sub_(excess[:, :, None, :, None, :])
    return images


def _by_phase(images: Tensor, stride: int) -> Tensor:
    """Return a view (N, C, H / stride, stride, W / stride, stride) of pictures (N, C, H, W)."""
    return torch.unflatten(torch.unflatten(images, 3, (-1, stride)), 2, (-1, stride))
