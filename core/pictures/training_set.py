"""What is learned from: training pictures in minibatches, whether they lie in memory or elsewhere."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.pictures.colour_box import ColourBox
from core.pictures.images import Levels, gain_for

LARGEST_BATCH = 64  # pictures in an iteration, where the settings do not say
PATCHED_PICTURES = 8  # that the patches of one iteration are cut from


@dataclass(frozen=True)
class TrainingSet:
    """`count` training pictures of one size, in grey levels about their mean, read when they are needed.

    read: indices -> (len(indices), channels, H, W) on `device`. std: root mean square over all of them, grey levels.
    box: what holds them.
    """

    count: int
    channels: int
    std: float
    box: ColourBox
    device: torch.device
    read: Callable[[Sequence[int]], Tensor]

    @classmethod
    def of(cls, images: Tensor, levels: Levels | None = None) -> "TrainingSet":
        """Those in memory: images (M, C, H, W). Without `levels` each channel's own extremes hold them."""
        std = images.square().mean().sqrt().item()
        own = ColourBox(images.amin(dim=(0, 2, 3))[:, None, None], images.amax(dim=(0, 2, 3))[:, None, None])
        box = own if levels is None else levels.box
        return cls(len(images), images.shape[1], std, box, images.device, lambda indices: images[list(indices)])

    def draw(self, size: int | None, generator: torch.Generator) -> Tensor:
        """A minibatch of `size` different pictures (None: all, `LARGEST_BATCH` at most) -> (size, C, H, W)."""
        size = min(size or LARGEST_BATCH, self.count)
        if size == self.count:  # nothing to draw: full-batch learning uses no random numbers
            return self.read(range(size))
        return self.read(torch.randperm(self.count, generator=generator, device=generator.device)[:size].tolist())

    def draw_patches(self, side: int, count: int | None, generator: torch.Generator) -> Tensor:
        """`count` patches (None: `LARGEST_BATCH`), cut anywhere out of a few pictures -> (count, C, side, side)."""
        count = count or LARGEST_BATCH
        return cut_patches(self.draw(min(PATCHED_PICTURES, count), generator), side, count, generator)


def cut_patches(images: Tensor, side: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` patches (count, C, side, side) from random places of images (M, C, H, W)."""
    pictures, _, height, width = images.shape
    which, top, left = (
        torch.randint(limit, (count, 1, 1), generator=generator, device=generator.device).to(images.device)
        for limit in (pictures, height - side + 1, width - side + 1)
    )
    span = torch.arange(side, device=images.device)
    return images.movedim(1, -1)[which, top + span[:, None], left + span].movedim(-1, 1)


def measure_levels(
    pictures: Iterable[Tensor], contrast: float | None = None, own_mean: bool = False
) -> tuple[Levels, float]:
    """What `standardize` would do to all of the pictures (C, H, W), and their std after it, one at a time.

    They are gone through twice.
    """
    count, total, products, of_means = 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
    for picture in pictures:
        colours = picture.double().flatten(1)
        own, pixels = colours.mean(dim=1), colours.shape[1]
        count, total, products = count + pixels, total + pixels * own, products + colours @ colours.T
        of_means = of_means + pixels * own[:, None] * own
    mean = total / count
    covariance = (products - of_means) / count if own_mean else products / count - mean[:, None] * mean
    std = math.sqrt(max(float(covariance.diagonal().mean()), 0.0))
    levels = Levels(mean.float(), gain_for(std, contrast))
    box = ColourBox.enclosing((levels.standardize(picture[None], own_mean)[0] for picture in pictures), covariance)
    return replace(levels, colours=box), std * levels.gain
