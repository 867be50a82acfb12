"""Random phase textures: textures that share only the power spectrum of a picture.

Galerne, Gousseau, Morel, "Random phase textures: theory and synthesis", IEEE Transactions on Image Processing 2011.
"""

import math

import torch
from torch import Tensor


def random_phase(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Return a texture with the means of `picture` (C, H, W) and the power spectrum of its periodic component.

    The same random phase is added to all channels, so that the phase differences between them, the colours, stay.
    """
    spectrum = torch.fft.rfft2(periodic_component(picture))
    noise = torch.randn(picture.shape[1:], generator=generator, dtype=picture.dtype)
    phase = torch.fft.rfft2(noise).angle()  # odd, as for any real picture, so that the result is real too
    phase[0, 0] = 0  # the means stay
    return torch.fft.irfft2(spectrum * torch.polar(torch.ones_like(phase), phase), s=picture.shape[1:])


def periodic_component(picture: Tensor) -> Tensor:
    """Return `picture` (C, H, W) minus its smooth component, which carries the jumps between opposite sides.

    Moisan, "Periodic plus smooth image decomposition", Journal of Mathematical Imaging and Vision 2011: the Laplacian
    of the smooth component equals the jumps, and its mean is 0.
    """
    _, height, width = picture.shape
    jumps = torch.zeros_like(picture)
    vertical, horizontal = picture[:, -1] - picture[:, 0], picture[..., -1] - picture[..., 0]
    jumps[:, 0] += vertical
    jumps[:, -1] -= vertical
    jumps[..., 0] += horizontal
    jumps[..., -1] -= horizontal
    frequencies = (torch.arange(side, dtype=picture.dtype) / side for side in (height, width))
    rows, columns = (2 * torch.cos(2 * math.pi * frequency) for frequency in frequencies)
    laplacian = rows[:, None] + columns[: width // 2 + 1] - 4
    laplacian[0, 0] = 1  # any value: the jumps add up to 0
    smooth = torch.fft.irfft2(torch.fft.rfft2(jumps) / laplacian, s=(height, width))
    return picture - smooth
