"""Remove slow changes of light and hue from a picture, and restore them.

A net cannot represent changes that span more than the window of its top units, but has to match them on average. The
chains then show them in one place, as a smear of bright and dark or of two false colours
(docs/decisions/0006-even-light.md). They are therefore removed before a texture is learned, and the rest is stretched
to the contrast of the whole.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.parallel import threads
from core.theory.boundary import continue_periodically, crop

HUE_SHARE = 0.5  # of the blur's width: hues are evened over this share of the distance
MIN_WEIGHT = 1e-4  # smallest weight that a local mean may be divided by
TINY = 1e-6  # grey levels
BLUR_REACH = 2  # standard deviations of a blur that a periodic picture is continued by
MAX_MATRIX_SIDE = 2048  # longer lines are blurred by a Fourier transform, far faster; shorter ones keep their rounding
MAX_STRETCH = 1.2  # limit for a picture that is mostly slow light


@dataclass(frozen=True)
class Light:
    """A picture's slow light: even = `stretch` * picture - `shift`.

    stretch: restores the contrast, about the mean, that the picture had with its light. shift (C, H, W), grey levels.
    """

    stretch: float
    shift: Tensor

    @classmethod
    @threads(1)  # so that rounding does not depend on how many a job has
    def of(cls, picture: Tensor, std: float | None, known: Tensor | None = None) -> "Light":
        """Compute the light of a picture (C, H, W) in grey levels. std, known: see `slow_light`."""
        slow = slow_light(picture, std, known)
        if std is None:
            return cls(1.0, slow)
        weight, mean = _weights_and_mean(picture, known)
        whole, rest = (((one - mean) * weight).square().sum().sqrt() for one in (picture, picture - slow))
        stretch = min(max(float(whole / rest.clamp_min(TINY)), 1.0), MAX_STRETCH) if whole > TINY else 1.0
        return cls(stretch, stretch * slow + (stretch - 1) * mean)

    @classmethod
    def of_periodic(cls, picture: Tensor, std: float | None, known: Tensor) -> "Light":
        """Compute the light of a picture that continues periodically: smooth across its edges."""
        margin = 0 if std is None else math.ceil(BLUR_REACH * std)
        around = continue_periodically(torch.cat([picture, known[None].to(picture)])[None], margin)[0]
        light = cls.of(around[:-1], std, around[-1].bool())
        return cls(light.stretch, crop(light.shift, margin))

    def without(self, picture: Tensor) -> Tensor:
        """Return the picture (C, H, W) evenly lit. Values may leave the range 0 to 255."""
        return self.stretch * picture - self.shift.to(picture)

    def given_to(self, even: Tensor) -> Tensor:
        """Return an evenly lit picture (C, H, W) under this light."""
        return (even + self.shift.to(even)) / self.stretch


def evened(picture: Tensor, std: float | None, known: Tensor | None = None) -> Tensor:
    """Return a picture (C, H, W) without its slow light, clamped to 0..255; unchanged if std is None.

    known: see `slow_light`.
    """
    return picture if std is None else Light.of(picture, std, known).without(picture).clamp(0, 255)


def slow_light(picture: Tensor, std: float | None, known: Tensor | None = None) -> Tensor:
    """Return what a Gaussian blur of `std` pixels leaves of a picture (C, H, W), without its mean; zero if std is None.

    For colours orthogonal to the first principal axis, which is mostly brightness, a blur of half that width is used.
    known (H, W), bool: only these pixels count.
    """
    if std is None:
        return torch.zeros_like(picture)
    weight, mean = _weights_and_mean(picture, known)
    centred = picture - mean
    light = _local_mean(centred, weight, std)
    colours = ((centred - light) * weight).flatten(1)
    axis = torch.linalg.eigh(colours @ colours.T)[1][:, -1]
    hue = _local_mean(centred - light, weight, HUE_SHARE * std)
    orthogonal: Tensor = hue - axis[:, None, None] * torch.einsum("c,chw->hw", axis, hue)
    return light + orthogonal


def _weights_and_mean(picture: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return each pixel's weight (1, H, W) and the weighted mean (C, 1, 1)."""
    weight = torch.ones_like(picture[:1]) if known is None else known[None].to(picture)
    return weight, (picture * weight).sum(dim=(1, 2), keepdim=True) / weight.sum().clamp_min(1)


def _local_mean(picture: Tensor, weight: Tensor, std: float) -> Tensor:
    """Return the weighted local mean, or zero if no weighted pixel is near."""
    return _blur(picture * weight, std) / _blur(weight, std).clamp_min(MIN_WEIGHT)


def _blur(picture: Tensor, std: float) -> Tensor:
    """Blur (C, H, W), the picture continued by its mirror image."""
    height, width = picture.shape[1:]
    if height > MAX_MATRIX_SIDE:
        picture = _blur_lines(picture.mT, std).mT
    else:
        picture = _blur_matrix(height, std).to(picture) @ picture
    if width > MAX_MATRIX_SIDE:
        return _blur_lines(picture, std)
    blurred: Tensor = picture @ _blur_matrix(width, std).to(picture).T
    return blurred


def _blur_lines(picture: Tensor, std: float) -> Tensor:
    """Blur the lines of (C, H, W) as `_blur_matrix` does, by the Fourier transform of a line and its mirror image."""
    width = picture.shape[2]
    omega = math.pi / width * torch.arange(width + 1, dtype=picture.dtype, device=picture.device)
    spectrum = torch.fft.rfft(torch.cat([picture, picture.flip(2)], dim=2)) * torch.exp(-(omega * std).square() / 2)
    blurred: Tensor = torch.fft.irfft(spectrum, n=2 * width)[..., :width]
    return blurred


def _blur_matrix(side: int, std: float) -> Tensor:
    """Return a Gaussian blur with mirrored ends (side, side): a cosine of ω is scaled by exp(-ω² std² / 2).

    A mirrored line is a sum of these cosines, those of the DCT (Strang 1999).
    """
    omega = math.pi / side * torch.arange(side, dtype=torch.float64)
    cosines = torch.cos(omega[:, None] * (torch.arange(side, dtype=torch.float64) + 0.5))
    cosines = cosines / cosines.square().sum(dim=1, keepdim=True).sqrt()
    blur: Tensor = cosines.T @ (torch.exp(-(omega * std).square() / 2)[:, None] * cosines)
    return blur
