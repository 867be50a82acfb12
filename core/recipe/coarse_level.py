"""The coarse level: the whole training picture at a fraction of its size, learned first.

A net sees some twenty pixels. At a fraction of the photograph's size these hold the layout of its elements: bricks in
rows, stones beside each other. What is synthesized there, enlarged, is where the canvas begins; the net of the full
size, whose density it must agree with, gives it its detail. What this gains: docs/experiments/coarse-level.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from core.pictures.images import Levels, resize_periodic
from core.pictures.parts import NothingToLearn
from core.pictures.training_set import TrainingSet, measure_levels
from core.schemas.learning import LearningParams

MEASURED = 16  # training pictures that the contrast is measured on
MIN_STD = 1.0  # grey levels of what is left of the pictures: with less there is no layout to learn


@dataclass(frozen=True)
class CoarseLevel:
    """The training pictures made smaller, and how their contrast was restored: shrinking takes some of it."""

    pictures: TrainingSet
    levels: Levels

    @property
    def gain(self) -> float:
        """What the grey levels of the pictures, made smaller, were multiplied by."""
        return self.levels.gain

    @classmethod
    def of(cls, pictures: TrainingSet, params: LearningParams) -> "CoarseLevel | None":
        """Return the level that `params` (`LearningParams.of_stage`) describe; None if it would be of one colour."""
        side, own_mean = params.image_size, params.even_light is not None
        measured = [shrunk(pictures.read([index]), side)[0].cpu() for index in range(min(MEASURED, pictures.count))]
        try:
            levels, std = measure_levels(measured, params.contrast, own_mean)
        except NothingToLearn:
            return None
        if std < MIN_STD * levels.gain:
            return None

        def read(indices: Sequence[int]) -> Tensor:
            return levels.standardize(shrunk(pictures.read(indices), side), own_mean)

        return cls(replace(pictures, std=std, box=levels.box, read=read), levels)

    def in_full_contrast(self, images: Tensor) -> Tensor:
        """Return pictures of this level (N, C, H, W) in the grey levels of the training pictures."""
        return self.levels.to_grey_levels(images)


def shrunk(pictures: Tensor, side: int) -> Tensor:
    """Return pictures (N, C, S, S) with `side` pixels along each side, each a mean. Unknown ones (NaN) stay unknown."""
    return functional.interpolate(pictures, (side, side), mode="area")


def enlarged(picture: Tensor, side: int, noise_std: float, generator: torch.Generator) -> Tensor:
    """Return a periodic picture (1, C, S, S) enlarged to (1, C, side, side), under white noise, as chains are."""
    large = resize_periodic(picture[0].cpu(), side, side)[None].to(picture)
    return large + noise_std * torch.randn(large.shape, generator=generator, device=large.device)
