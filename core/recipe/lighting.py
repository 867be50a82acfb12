"""Light and hue that change slowly across a picture, and how to take them out of it.

What spans more than a unit of the highest layer sees, a slow fall of the light or a drift of the hue, no local
statistics can hold. Learning does not leave it out: the chain gathers all of it in one place, a smear of bright and
dark or of two false colours, so that the mean over the picture is right again
(docs/decisions/0006-even-light.md). So it is taken out of a texture before it is learned, and what is left is given the
contrast of the whole.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

HUE_SHARE = 0.5  # of the distance over which light is evened: hues that change faster than that go, too
LEAST_WEIGHT = 1e-4  # that a mean of what is around rests on
TINY = 1e-6  # grey levels
MOST_STRETCH = 1.2  # of a picture that is mostly light, the rest is not to become all there is


@dataclass(frozen=True)
class Light:
    """A picture's slow light, to be taken out of it and given back: even = `stretch` * picture - `shift`.

    stretch: what gives the rest, about its mean, the contrast that the picture had with its light. shift (C, H, W).
    """

    stretch: float
    shift: Tensor

    @classmethod
    def of(cls, picture: Tensor, std: float | None, known: Tensor | None = None) -> "Light":
        """That of a picture (C, H, W) in grey levels; None is no light. std, known: as `slow_light` takes them."""
        slow = slow_light(picture, std, known)
        if std is None:
            return cls(1.0, slow)
        weight, mean = _weighed(picture, known)
        whole, rest = (((one - mean) * weight).square().sum().sqrt() for one in (picture, picture - slow))
        stretch = min(max(float(whole / rest.clamp_min(TINY)), 1.0), MOST_STRETCH) if whole > TINY else 1.0
        return cls(stretch, stretch * slow + (stretch - 1) * mean)

    def without(self, picture: Tensor) -> Tensor:
        """(C, H, W), evenly lit. What is too bright or too dark for a picture file is left so."""
        return self.stretch * picture - self.shift.to(picture)

    def given_to(self, even: Tensor) -> Tensor:
        """An evenly lit picture (C, H, W) under this light."""
        return (even + self.shift.to(even)) / self.stretch


def evened(picture: Tensor, std: float | None) -> Tensor:
    """A picture (C, H, W) in grey levels without its slow light, cut to 0..255. None leaves it as it is."""
    return picture if std is None else Light.of(picture, std).without(picture).clamp(0, 255)


def slow_light(picture: Tensor, std: float | None, known: Tensor | None = None) -> Tensor:
    """What a Gaussian blur of `std` pixels leaves of a picture (C, H, W), but for its mean. Nothing where it is None.

    Of colours beside the first principal axis, which is mostly brightness, also what a blur half as wide leaves.
    known (H, W), bool: elsewhere the picture does not matter, and the light is that of what is known nearby.
    """
    if std is None:
        return torch.zeros_like(picture)
    weight, mean = _weighed(picture, known)
    centred = picture - mean
    light = _blurred(centred, weight, std)
    colours = ((centred - light) * weight).flatten(1)
    axis = torch.linalg.eigh(colours @ colours.T)[1][:, -1]
    hue = _blurred(centred - light, weight, HUE_SHARE * std)
    beside: Tensor = hue - axis[:, None, None] * torch.einsum("c,chw->hw", axis, hue)
    return light + beside


def _weighed(picture: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
    """What each pixel counts, (1, H, W), and the mean of those that do, (C, 1, 1)."""
    weight = torch.ones_like(picture[:1]) if known is None else known[None].to(picture)
    return weight, (picture * weight).sum(dim=(1, 2), keepdim=True) / weight.sum().clamp_min(1)


def _blurred(picture: Tensor, weight: Tensor, std: float) -> Tensor:
    """The weighted mean around each pixel, zero where nothing that counts is near."""
    return _slow(picture * weight, std) / _slow(weight, std).clamp_min(LEAST_WEIGHT)


def _slow(picture: Tensor, std: float) -> Tensor:
    """Blurred (C, H, W), the picture continued by its mirror image."""
    down, across = (_blur(side, std).to(picture) for side in picture.shape[1:])
    slow: Tensor = down @ picture @ across.T
    return slow


def _blur(side: int, std: float) -> Tensor:
    """(side, side): the Gaussian blur of a line with a mirror at either end. A cosine of ω fades by exp(-ω² std² / 2).

    These cosines, the DCT's, are what a mirrored line consists of (Strang 1999).
    """
    omega = math.pi / side * torch.arange(side, dtype=torch.float64)
    cosines = torch.cos(omega[:, None] * (torch.arange(side, dtype=torch.float64) + 0.5))
    cosines = cosines / cosines.square().sum(dim=1, keepdim=True).sqrt()
    blur: Tensor = cosines.T @ (torch.exp(-(omega * std).square() / 2)[:, None] * cosines)
    return blur
