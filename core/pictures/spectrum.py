"""The radial power spectrum of a picture, in third-octave bands up to the Nyquist frequency.

A checkerboard of single pixels, missing grain or a blur show in it, and hardly in distances of patches. Pictures are
float tensors of grey levels, 0 to 255: (C, H, W), or several (N, C, H, W).
"""

import torch
from torch import Tensor

NYQUIST = 0.5  # cycles a pixel
BANDS_PER_OCTAVE = 3
MAX_SEGMENT = 128  # pixels along each side of the windowed segments
MIN_BINS = 24  # of the Fourier transform, in the lowest band
TOLERATED = 1.5  # factor of a band's power that is tolerated however alike the halves of the picture are
ROUNDING = 1 / 12  # grey levels squared: the variance that rounding to whole grey levels adds, spread over all bins


def spectrum_deviation(synthesized: Tensor, picture: Tensor) -> float:
    """Return the largest factor by which the power of a band differs from that of `picture`; 1 if none does.

    A factor by which the two halves of `picture` differ themselves, if larger than TOLERATED, counts as TOLERATED. So
    a result of at most TOLERATED means: no band differs more than that, or more than within the picture.
    synthesized (N, C, H, W) or (C, H, W). picture (C, H, W); or the views of it that were learned, such as turned ones,
    (V, C, H, W): then the mean of their powers, and the halves of the view whose halves differ most. Raises ValueError
    if they are too small for a band.
    """
    views = picture if picture.ndim == 4 else picture[None]
    middle = views.shape[-1] // 2
    side = min(MAX_SEGMENT, *synthesized.shape[-2:], views.shape[-2], middle)
    made, own = band_powers(synthesized, side), band_powers(views, side)
    left, right = (
        torch.stack([band_powers(one, side) for one in half]) for half in (views[..., :middle], views[..., -middle:])
    )
    halves = _factor(left, right).amax(dim=0)
    return float((_factor(made, own) * TOLERATED / halves.clamp_min(TOLERATED)).max().clamp_min(1.0))


def band_powers(pictures: Tensor, side: int) -> Tensor:
    """Return the mean power in each band, the highest first -> (bands,), in grey levels squared.

    The power spectrum is averaged over channels and Hann windowed segments of `side` pixels, which overlap by half
    (Welch 1967), and over the directions of a band. The highest band is the corners of the spectrum, beyond the Nyquist
    frequency of the axes, where a checkerboard of single pixels lies; the others are a third of an octave wide.
    Raises ValueError if `side` is too small for any band.
    """
    hann = torch.hann_window(side)
    power = power_spectrum(pictures if pictures.ndim == 4 else pictures[None], side) / hann.square().sum() ** 2
    frequencies = torch.fft.fftfreq(side)
    radius = (frequencies.square() + frequencies.square()[:, None]).sqrt()
    powers = []
    upper = float("inf")
    for band in range(BANDS_PER_OCTAVE * 12):
        lower = NYQUIST * 2 ** (-band / BANDS_PER_OCTAVE)
        inside = (radius >= lower) & (radius < upper)
        if int(inside.sum()) < MIN_BINS:
            break
        powers.append(power[inside].mean() + ROUNDING)
        upper = lower
    if not powers:
        raise ValueError(f"segments of {side} pixels are too small for a band of {MIN_BINS} frequencies")
    return torch.stack(powers)


def band_frequencies(count: int) -> Tensor:
    """Return the middle of each of the first `count` bands of `band_powers`, in cycles a pixel -> (count,)."""
    return torch.tensor([NYQUIST * 2 ** ((0.5 - band) / BANDS_PER_OCTAVE) for band in range(count)])


def power_spectrum(pictures: Tensor, side: int) -> Tensor:
    """Return the power at each frequency of the Fourier transform -> (side, side), times the power of the window.

    Averaged over channels and Hann windowed segments of `side` pixels, which overlap by half (Welch 1967). pictures
    (N, C, H, W).
    """
    step = max(side // 2, 1)
    segments = pictures.unfold(-2, side, step).unfold(-2, side, step)  # (N, C, rows, columns, side, side)
    segments = segments - segments.mean(dim=(-2, -1), keepdim=True)
    hann = torch.hann_window(side)
    power: Tensor = torch.fft.fft2(segments * hann * hann[:, None]).abs().square().mean(dim=(0, 1, 2, 3))
    return power


def _factor(a: Tensor, b: Tensor) -> Tensor:
    ratio = a / b
    return torch.maximum(ratio, 1 / ratio)
