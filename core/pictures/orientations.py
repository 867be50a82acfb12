"""The eight turns and flips of a square picture (the dihedral group D4), which only move its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.schemas.learning import Orientation

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
        middle = torch.tensor(self.zero).to(images)[:, None, None]
        x, y = (images[..., self.first : self.first + 2, :, :] - middle).unbind(-3)
        x = -x if flipped else x
        for _ in range(quarters):
            x, y = -y, x
        result = images.clone()
        result[..., self.first : self.first + 2, :, :] = torch.stack([x, y], dim=-3) + middle
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
