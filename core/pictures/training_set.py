"""Training pictures in minibatches, held in memory or read when they are needed."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.pictures.colour_box import ColourBox
from core.pictures.images import Levels, gain_for, rms
from core.pictures.known_pixels import NothingToLearn, is_partial, known_colours
from core.pictures.orientations import NormalChannels
from core.schemas.learning import DEFAULT_MAX_BATCH

PICTURES_PER_PATCH_BATCH = 8  # pictures that the patches of one iteration are cut from

MIN_STD = 1e-3  # grey levels; rounding makes less of one colour


@dataclass(frozen=True)
class TrainingSet:
    """`count` training pictures of one size, in grey levels about their mean.

    std: root mean square over all of them, in grey levels. box: a colour box that contains them. Pixels that are not
    to be learned from are NaN, and count in neither (`core.pictures.known_pixels`).
    read: indices -> (len(indices), channels, H, W) on `device`. normals: the channels that are surface normals, if any.
    """

    count: int
    channels: int
    std: float
    box: ColourBox
    device: torch.device
    read: Callable[[Sequence[int]], Tensor]
    normals: NormalChannels | None = None

    @classmethod
    def of(cls, images: Tensor, levels: Levels | None = None) -> "TrainingSet":
        """Hold images (M, C, H, W) in memory. box: that of `levels`, or each channel's extremes without `levels`."""
        colours = known_colours(images.movedim(1, 0))
        own = ColourBox(colours.amin(dim=1)[:, None, None], colours.amax(dim=1)[:, None, None])
        box = own if levels is None else levels.box
        std = rms(colours if is_partial(images) else images)
        return cls(len(images), images.shape[1], std, box, images.device, lambda indices: images[list(indices)])

    def draw(self, size: int | None, generator: torch.Generator) -> Tensor:
        """Draw `size` different pictures (None: all, at most `DEFAULT_MAX_BATCH`) -> (size, C, H, W)."""
        size = min(size or DEFAULT_MAX_BATCH, self.count)
        if size == self.count:  # nothing to draw: full-batch learning uses no random numbers
            return self.read(range(size))
        return self.read(torch.randperm(self.count, generator=generator, device=generator.device)[:size].tolist())

    def draw_patches(self, side: int, count: int | None, generator: torch.Generator) -> Tensor:
        """Cut `count` patches (None: `DEFAULT_MAX_BATCH`) out of a few random pictures -> (count, C, side, side)."""
        count = count or DEFAULT_MAX_BATCH
        return cut_patches(self.draw(min(PICTURES_PER_PATCH_BATCH, count), generator), side, count, generator)


def cut_patches(images: Tensor, side: int, count: int, generator: torch.Generator) -> Tensor:
    """Cut `count` patches (count, C, side, side) at random places out of images (M, C, H, W)."""
    pictures, _, height, width = images.shape
    which, tops, lefts = (
        torch.randint(limit, (count,), generator=generator, device=generator.device).to(images.device)
        for limit in (pictures, height - side + 1, width - side + 1)
    )
    windows = images.unfold(2, side, 1).unfold(3, side, 1)  # (M, C, tops, lefts, side, side), a view
    return windows[which, :, tops, lefts]


def measure_levels(
    pictures: Iterable[Tensor], contrast: float | None = None, own_mean: bool = False, groups: Sequence[int] = ()
) -> tuple[Levels, float]:
    """Return the levels that `standardize` would find for all pictures (C, H, W), and their std once standardized.

    groups: the numbers of channels of a material's maps: each map gets a gain of its own, so that a faint one is
    learned as well as a strong one.
    Only known pixels count (`core.pictures.known_pixels`). Holds one picture at a time; iterates over `pictures` twice.
    Raises NothingToLearn if no pixel is known, or all are of one colour.
    """
    count, total, products, of_means = 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
    for picture in pictures:
        colours = known_colours(picture.double())
        if not colours.numel():
            continue
        own, pixels = colours.mean(dim=1), colours.shape[1]
        count, total, products = count + pixels, total + pixels * own, products + colours @ colours.T
        of_means = of_means + pixels * own[:, None] * own
    if not count:
        raise NothingToLearn("every pixel of the pictures is transparent: nothing is left to learn from")
    mean = total / count
    covariance = (products - of_means) / count if own_mean else products / count - mean[:, None] * mean
    std = math.sqrt(max(float(covariance.diagonal().mean()), 0.0))
    if std < MIN_STD:
        raise NothingToLearn("the pictures are of one colour all over: without contrast there is nothing to learn")
    levels = Levels(mean.float(), gain_for(std, contrast), shares=_shares(covariance.diagonal(), groups, contrast))
    if levels.shares is not None:
        scale = levels.gains.to(covariance)
        covariance = covariance * scale[:, None] * scale
        std = math.sqrt(float(covariance.diagonal().mean())) / levels.gain
    known = (known_colours(levels.standardize(picture[None], own_mean)[0]) for picture in pictures)
    box = ColourBox.enclosing((colours for colours in known if colours.numel()), covariance)
    return replace(levels, colours=box), std * levels.gain


def _shares(variances: Tensor, groups: Sequence[int], contrast: float | None) -> Tensor | None:
    """Return what the common gain is multiplied by in each channel (C,), so that each group gets `contrast`."""
    if not groups:
        return None
    common = gain_for(math.sqrt(float(variances.mean())), contrast)
    own = [
        gain_for(math.sqrt(float(group.mean())), contrast) / common for group in torch.split(variances, list(groups))
    ]
    return torch.tensor(own).repeat_interleave(torch.tensor(groups))
