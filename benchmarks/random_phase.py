"""Random phase textures: what remains of a texture when only its power spectrum is kept.

Galerne, Gousseau, Morel, "Random phase textures: theory and synthesis", IEEE Transactions on Image Processing 2011.
"""

import math

import torch
from torch import Tensor


def random_phase(picture: Tensor, generator: torch.Generator) -> Tensor:
    """A picture (C, H, W) in grey levels -> another with its means, of the spectrum of its periodic component.

    One random phase is added to all the channels alike, so that their phases keep their differences: the colours.
    """
    spectrum = torch.fft.rfft2(periodic_component(picture))
    noise = torch.randn(picture.shape[1:], generator=generator, dtype=picture.dtype)
    phase = torch.fft.rfft2(noise).angle()  # odd, as that of any real picture, so that this one is real too
    phase[0, 0] = 0  # the means stay
    return torch.fft.irfft2(spectrum * torch.polar(torch.ones_like(phase), phase), s=picture.shape[1:])


def periodic_component(picture: Tensor) -> Tensor:
    """A picture (C, H, W) without the smooth one that carries the jumps from each side to the opposite one.

    Moisan, "Periodic plus smooth image decomposition", Journal of Mathematical Imaging and Vision 2011: the smooth
    component has the jumps for its Laplacian, and mean 0.
    """
    _, height, width = picture.shape
    jumps = torch.zeros_like(picture)
    vertical, horizontal = picture[:, -1] - picture[:, 0], picture[..., -1] - picture[..., 0]
    jumps[:, 0] += vertical
    jumps[:, -1] -= vertical
    jumps[..., 0] += horizontal
    jumps[..., -1] -= horizontal
    turns = (torch.arange(side, dtype=picture.dtype) / side for side in (height, width))
    rows, columns = (2 * torch.cos(2 * math.pi * turn) for turn in turns)
    laplacian = rows[:, None] + columns[: width // 2 + 1] - 4
    laplacian[0, 0] = 1  # the jumps add up to 0 there
    smooth = torch.fft.irfft2(torch.fft.rfft2(jumps) / laplacian, s=(height, width))
    return picture - smooth
