"""The coarse level: the training picture at a fraction of its size, learned first.

A texture's net sees some twenty pixels. At a fraction of the photograph's size these hold the layout of its elements:
bricks in rows, stones beside each other. What is synthesized there, enlarged, is where the canvas begins; the net of
the full size, whose density it must agree with, gives it its detail. What this gains: docs/experiments/coarse-level.md.

An object's net goes on at the full size, enlarged as its chains are: docs/experiments/objects-coarse-to-fine.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from core.engine.parallel import threads
from core.pictures.images import Levels, resize_periodic
from core.pictures.known_pixels import NothingToLearn
from core.pictures.training_set import TrainingSet, measure_levels
from core.schemas.learned import boundary_of_pictures
from core.schemas.learning import LearningParams
from core.theory.learning import observed_units
from core.theory.model import Architecture, GenerativeConvNet

KEPT = 16  # training pictures that stay in memory, made smaller; of more, so many are measured
MIN_STD = 1.0  # grey levels of what is left of the pictures: with less there is no layout to learn
MIN_KNOWN = 0.5  # share of the pixels behind one of these that must be known


@dataclass(frozen=True)
class CoarseLevel:
    """The training pictures made smaller, and how their contrast was restored: shrinking takes some of it.

    All channels have one gain, also those of a material's maps.
    """

    pictures: TrainingSet
    levels: Levels

    @property
    def gain(self) -> float:
        """What the grey levels of the pictures, made smaller, were multiplied by."""
        return self.levels.gain

    @classmethod
    @threads(1)  # so that rounding does not depend on how many a job has
    def of(cls, pictures: TrainingSet, params: LearningParams, architecture: Architecture) -> "CoarseLevel | None":
        """Return the level that `params` (`LearningParams.of_stage`) describe.

        None if nothing can be learned there: what is left of the pictures is of one colour, or no unit of the net sees
        known pixels alone.
        """
        side, own_mean = params.image_size, params.even_light is not None
        small = torch.cat([shrunk(pictures.read([index]), side) for index in range(min(KEPT, pictures.count))])
        units = observed_units(small, architecture, boundary_of_pictures(params.boundary))
        if units is not None and not units.flatten(1).any(dim=1).all():
            return None
        try:
            levels, std = measure_levels(list(small.cpu()), params.contrast, own_mean)
        except NothingToLearn:
            return None
        if std < MIN_STD * levels.gain:
            return None
        kept = levels.standardize(small, own_mean)

        @threads(1)
        def read(indices: Sequence[int]) -> Tensor:
            if pictures.count <= KEPT:
                return kept[list(indices)]
            return levels.standardize(shrunk(pictures.read(indices), side), own_mean)

        return cls(replace(pictures, std=std, box=levels.box, read=read), levels)

    def in_full_contrast(self, images: Tensor) -> Tensor:
        """Return pictures of this level (N, C, H, W) in the grey levels of the training pictures."""
        return self.levels.to_grey_levels(images)


def shrunk(pictures: Tensor, side: int) -> Tensor:
    """Return pictures (N, C, S, S) with `side` pixels along each side, each the mean of the known ones behind it.

    It is unknown (NaN) if fewer than MIN_KNOWN of them are known.
    """
    means = functional.interpolate(pictures.nan_to_num(0.0), (side, side), mode="area")
    unknown = pictures[:, :1].isnan()
    if not unknown.any():
        return means
    known = functional.interpolate((~unknown).to(means), (side, side), mode="area")
    return torch.where(known < MIN_KNOWN, torch.nan, means / known.clamp(min=MIN_KNOWN))


def enlarge_net_(net: GenerativeConvNet, coarse: GenerativeConvNet, factor: int, gain: float = 1.0) -> None:
    """Give an object's net the weights with which it sees a picture as `coarse` sees it made smaller by `factor`.

    Each filter of the first layer is enlarged: f(I) = (factor / gain)² f_coarse(gain x means of I over factor x factor
    pixels). With q these means have 1 / factor² of the variance, so p has the modes of the coarse density, and white
    noise for detail. gain: what the grey levels of the coarse level were multiplied by.
    """
    with torch.no_grad():
        for one, other in zip(net.parameters(), coarse.parameters(), strict=True):
            if one.shape == other.shape:
                one.copy_(other)
        enlarged_filters = coarse.weights[0].repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        net.weights[0].copy_(enlarged_filters * gain / factor**2)
        for parameter in (net.weights[-1], net.biases[-1]):
            parameter.mul_((factor / gain) ** 2)


def soften_(filters: Tensor) -> Tensor:
    """Blur enlarged filters (K, C, k, k), in place, and return them: else pictures would consist of doubled pixels."""
    weights = filters.new_tensor([0.25, 0.5, 0.25])
    kernel = (weights[:, None] * weights)[None, None]
    with torch.no_grad():
        padded = functional.pad(filters, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None]
        return filters.copy_(functional.conv2d(padded, kernel).view_as(filters))


def enlarged(pictures: Tensor, side: int, noise_std: float, generator: torch.Generator, *, periodic: bool) -> Tensor:
    """Return pictures (N, C, S, S) enlarged to (N, C, side, side), under white noise, as chains are.

    periodic: they continue at the opposite edge, as a texture's do.
    """
    if periodic:
        large = torch.stack([resize_periodic(one.cpu(), side, side) for one in pictures]).to(pictures)
    else:
        large = functional.interpolate(pictures, (side, side), mode="bicubic", align_corners=False)
    return large + noise_std * torch.randn(large.shape, generator=generator, device=large.device)
