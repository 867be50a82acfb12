"""Give the fine detail of denoised pictures the power that it has in the training pictures.

Denoising returns a mean over clean pictures, in which grain is flat that is fainter than the noise. And where training
pictures have hardly any grain, a little of the noise remains. One small filter, the same in all directions and for all
pictures of a model, mends both. It is measured once, at the end of training, and kept with the model.
"""

import torch
from torch import Tensor
from torch.nn import functional

from core.pictures.spectrum import band_frequencies, band_powers
from core.schemas.model_file import DETAIL_FILTER_SIDE

FINE_BANDS = 6  # third-octave bands that are corrected: detail finer than about 6 pixels
MIN_SIDE = 32  # pixels: the smallest pictures that it is measured on
MIN_GAIN, MAX_GAIN = 0.2, 3.0  # larger errors are a failure of learning, which should show
GRID = 64  # points along each side at which the filter's frequency response is given


def fine_detail_filter(shown: Tensor, pictures: Tensor) -> Tensor | None:
    """Return a filter (S, S), S = DETAIL_FILTER_SIDE, that brings the fine detail of `shown` to that of `pictures`.

    Its response in each of the FINE_BANDS is the root of the ratio of their powers there, within MIN_GAIN and MAX_GAIN,
    and 1 for all that is coarser. Its values sum to one, so that means stay.
    shown (N, C, H, W): denoised pictures in their tone. pictures (M, C, H', W'): training pictures, all known. Returns
    None if one of them is smaller than MIN_SIDE.
    """
    side = min(*shown.shape[-2:], *pictures.shape[-2:])
    if side < MIN_SIDE:
        return None
    made, wanted = (band_powers(one.float().cpu(), min(side, GRID)) for one in (shown, pictures))
    gains = (wanted / made).sqrt().clamp(MIN_GAIN, MAX_GAIN)
    gains[FINE_BANDS:] = 1
    response = _interpolated(gains[: FINE_BANDS + 1], band_frequencies(FINE_BANDS + 1))
    kernel: Tensor = torch.fft.fftshift(torch.fft.ifft2(response).real)
    first = GRID // 2 - DETAIL_FILTER_SIDE // 2
    inside = slice(first, first + DETAIL_FILTER_SIDE)
    taper = torch.hann_window(DETAIL_FILTER_SIDE + 2, periodic=False)[1:-1].sqrt()
    kernel = kernel[inside, inside] * taper * taper[:, None]
    return kernel / kernel.sum()


def reach_of(kernel: Tensor | None) -> int:
    """Return how many pixels on every side of a pixel a filter reaches; 0 for none."""
    return 0 if kernel is None else len(kernel) // 2


def filtered(images: Tensor, kernel: Tensor) -> Tensor:
    """Return periodic pictures (N, C, H, W) convolved with a filter (S, S), S odd, channel by channel.

    If they are windows of a larger picture, `reach_of` it pixels along each side are not the larger picture's.
    """
    planes = functional.pad(images.flatten(0, 1)[:, None], (reach_of(kernel),) * 4, mode="circular")
    return functional.conv2d(planes, kernel.to(images)[None, None]).view_as(images)


def _interpolated(gains: Tensor, frequencies: Tensor) -> Tensor:
    """Return the gain at each frequency of a transform of GRID x GRID points -> (GRID, GRID).

    gains: at `frequencies`, highest first; linear between them on a scale of octaves, constant beyond.
    """
    along = torch.fft.fftfreq(GRID)
    radius = (along.square() + along.square()[:, None]).sqrt()
    octave = radius.clamp(min=float(frequencies[-1]), max=float(frequencies[0])).log2()
    known, gains = frequencies.log2().flip(0), gains.flip(0)
    above = torch.searchsorted(known, octave).clamp(1, len(known) - 1)
    share = (octave - known[above - 1]) / (known[above] - known[above - 1])
    return torch.lerp(gains[above - 1], gains[above], share)
