"""A box around the colours of the training pictures, to which a density can be confined.

A photograph's colours fill a narrow slanted region of the colour cube. In a box along their principal axes a chain can
become too bright or too dark, but cannot take colours that the photograph does not have. Such false colours were the
worst fault of synthesized textures (docs/decisions/0004-learning-without-luck.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ColourBox:
    """Limits of a pixel's coordinates along colour axes.

    low, high (C, 1, 1): grey levels. axes (C, C): orthonormal rows; None for the channels themselves.
    """

    low: Tensor
    high: Tensor
    axes: Tensor | None = None

    @classmethod
    def enclosing(cls, pictures: Iterable[Tensor], covariance: Tensor) -> "ColourBox":
        """Return the smallest box of pictures along the principal axes of their `covariance` (C, C).

        pictures: (C, H, W) each, or (C, pixels).
        """
        axes = torch.linalg.eigh(covariance.double())[1].T.contiguous()
        lows, highs = zip(*(_extent(axes.to(picture) @ picture.flatten(1)) for picture in pictures), strict=True)
        low, high = torch.stack(lows).amin(dim=0), torch.stack(highs).amax(dim=0)
        return cls(low[:, None, None], high[:, None, None], axes.to(low))

    def to(self, like: Tensor) -> "ColourBox":
        """Return this box with the dtype and on the device of `like`."""
        return ColourBox(self.low.to(like), self.high.to(like), None if self.axes is None else self.axes.to(like))

    def widened(self, by: float) -> "ColourBox":
        """Return a box that is larger by `by` grey levels at both ends of each axis."""
        return ColourBox(self.low - by, self.high + by, self.axes)

    def of_blocks(self, pixels: int) -> "ColourBox":
        """Return the box of blocks of so many pixels, whose C x `pixels` numbers are laid out channel by channel."""
        low, high = (level.repeat_interleave(pixels, dim=0) for level in (self.low, self.high))
        if self.axes is None:
            return ColourBox(low, high)
        return ColourBox(low, high, torch.kron(self.axes.contiguous(), torch.eye(pixels).to(self.axes)))

    def project(self, images: Tensor) -> Tensor:
        """Move each pixel outside of the box to the nearest point of the box. images (N, C, ...) -> same shape.

        Langevin dynamics with this projection samples the density confined to the box (Bubeck, Eldan, Lehec 2018).
        """
        box = self.to(images)
        low, high = (level.reshape(-1, *(1,) * (images.ndim - 2)) for level in (box.low, box.high))
        if box.axes is None:
            return torch.maximum(torch.minimum(images, high), low)
        along = torch.einsum("ac,nc...->na...", box.axes, images)
        beyond = torch.maximum(torch.minimum(along, high), low) - along
        return images + torch.einsum("ac,na...->nc...", box.axes, beyond)


def _extent(colours: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest value of each row. (C, K) -> (C,), (C,)."""
    return colours.amin(dim=1), colours.amax(dim=1)
