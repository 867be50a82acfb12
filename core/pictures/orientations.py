"""The eight turns and flips of a square picture (the dihedral group D4), which only move its pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from core.schemas.learning import Orientation

FLIPPED = "flipped-"


def turned(images: Tensor, orientation: Orientation) -> Tensor:
    """Return square pictures (..., S, S), flipped left to right if `orientation` says so, then turned anticlockwise."""
    shown = images.flip(-1) if orientation.startswith(FLIPPED) else images
    quarters = int(orientation.removeprefix(FLIPPED)) // 90
    return shown.rot90(quarters, dims=(-2, -1)) if quarters else shown


def turned_each(images: Tensor, orientations: Sequence[Orientation]) -> Tensor:
    """Return pictures (N, C, S, S), each in its own of N orientations."""
    return torch.stack([turned(*one) for one in zip(images, orientations, strict=True)])


def turned_at_random(images: Tensor, orientations: Sequence[Orientation], generator: torch.Generator) -> Tensor:
    """Return pictures (N, C, S, S), each in one of `orientations`, which are equally likely.

    Draws nothing if there is only one orientation.
    """
    if len(orientations) == 1:
        return turned(images, orientations[0])
    drawn = torch.randint(len(orientations), (len(images),), generator=generator, device=generator.device)
    return turned_each(images, [orientations[index] for index in drawn.tolist()])
