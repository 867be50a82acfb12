"""Pictures turned and flipped.

The eight turns and flips of a square picture (the dihedral group D4) only move its pixels; other angles resample them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from core.schemas.orientations import Orientation

FLIPPED = "flipped-"


@dataclass(frozen=True)
class NormalChannels:
    """Which channels hold the x and y of surface normals: they turn and flip with the picture.

    first: the channel of x, which grows to the right. The next one is y, which grows upwards (OpenGL's convention).
    zero: the values of these two channels that stand for 0.
    """

    first: int
    zero: tuple[float, float]

    def turned(self, images: Tensor, flipped: bool, quarters: int) -> Tensor:
        """Return pictures (..., C, S, S) whose normals are flipped left to right, then turned by quarters."""
        x, y = (images[..., self.first : self.first + 2, :, :] - self._middle(images)).unbind(-3)
        x = -x if flipped else x
        for _ in range(quarters):
            x, y = -y, x
        return self._with(images, x, y)

    def turned_by(self, images: Tensor, angles: Tensor) -> Tensor:
        """Return pictures (N, C, S, S) whose normals are turned anticlockwise, each by one of N angles in radians."""
        x, y = (images[:, self.first : self.first + 2] - self._middle(images)).unbind(1)
        cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
        return self._with(images, cos * x - sin * y, sin * x + cos * y)

    def _middle(self, images: Tensor) -> Tensor:
        return torch.tensor(self.zero).to(images)[:, None, None]

    def _with(self, images: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return pictures with these normals, given without their zero."""
        result = images.clone()
        result[..., self.first : self.first + 2, :, :] = torch.stack([x, y], dim=-3) + self._middle(images)
        return result


def turned(images: Tensor, orientation: Orientation, normals: NormalChannels | None = None) -> Tensor:
    """Return square pictures (..., C, S, S), flipped left to right if `orientation` says so, then turned anticlockwise.

    normals: the channels that are surface normals, if any.
    """
    flipped, quarters = orientation.startswith(FLIPPED), int(orientation.removeprefix(FLIPPED)) // 90
    shown = images.flip(-1) if flipped else images
    shown = shown.rot90(quarters, dims=(-2, -1)) if quarters else shown
    return shown if normals is None or orientation == "0" else normals.turned(shown, flipped, quarters)


def turned_each(images: Tensor, orientations: Sequence[Orientation], normals: NormalChannels | None = None) -> Tensor:
    """Return pictures (N, C, S, S), each in its own of N orientations."""
    pairs = zip(images, orientations, strict=True)
    return torch.stack([turned(image, orientation, normals) for image, orientation in pairs])


def turned_at_random(
    images: Tensor,
    orientations: Sequence[Orientation],
    generator: torch.Generator,
    normals: NormalChannels | None = None,
) -> Tensor:
    """Return pictures (N, C, S, S), each in one of `orientations`, which are equally likely.

    Draws nothing if there is only one orientation.
    """
    if len(orientations) == 1:
        return turned(images, orientations[0], normals)
    drawn = torch.randint(len(orientations), (len(images),), generator=generator, device=generator.device)
    return turned_each(images, [orientations[index] for index in drawn.tolist()], normals)


def turned_by(images: Tensor, angles: Tensor, side: int, normals: NormalChannels | None = None) -> Tensor:
    """Return the middle (N, C, side, side) of pictures (N, C, S, S), each turned anticlockwise by one of N angles.

    angles: in radians. Pixels are resampled bicubically, from 4 x 4 neighbours; those that any of these is unknown for
    (NaN), or beyond the picture, are NaN (`core.pictures.known_pixels`). None are with S of at least
    `turnable_side(side)`.
    """
    size = images.shape[-1]
    steps = torch.arange(side, dtype=angles.dtype, device=angles.device) - (side - 1) / 2
    right, up = steps, -steps[:, None]  # pixels from the middle
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    from_right, from_up = cos * right + sin * up, cos * up - sin * right  # turned back
    places = torch.stack([from_right, -from_up], dim=-1) * (2 / (size + 2))  # -1 to 1 between the margin's outer edges
    unknown_beyond = functional.pad(images, (1, 1, 1, 1), value=torch.nan)
    shown = functional.grid_sample(
        unknown_beyond, places.to(images), mode="bicubic", padding_mode="border", align_corners=False
    )
    return shown if normals is None else normals.turned_by(shown, angles.to(images))


def turned_by_random_angles(
    images: Tensor, side: int, generator: torch.Generator, normals: NormalChannels | None = None
) -> Tensor:
    """Return the middle (N, C, side, side) of pictures (N, C, S, S), each turned by an angle of its own."""
    drawn = torch.rand(len(images), generator=generator, device=generator.device, dtype=torch.float64)
    return turned_by(images, (2 * math.pi * drawn).to(images.device), side, normals)


def evenly_spread_angles(count: int) -> Tensor:
    """Return `count` angles in radians -> (count,), float64.

    The first is half of their distance: at 0 and other multiples of 45 degrees pictures keep more of their finest
    detail than at the angles in between, at which they are learned.
    """
    return (torch.arange(count, dtype=torch.float64) + 0.5) * (2 * math.pi / count)
