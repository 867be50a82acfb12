"""The pictures that a density may be confined to: those whose colours lie in a box about the training pictures'.

A photograph's colours fill a narrow slanted region of the colour cube. In a box along its own axes, which are the
principal axes of its colours, a chain can lose itself in bright or dark, but not in colours that the photograph has
not: those false colours were what most spoiled synthesized textures (docs/decisions/0004-learning-without-luck.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ColourBox:
    """low, high (C, 1, 1): grey levels along each axis. axes (C, C): orthonormal rows; None for the channels' own."""

    low: Tensor
    high: Tensor
    axes: Tensor | None = None

    @classmethod
    def enclosing(cls, pictures: Iterable[Tensor], covariance: Tensor) -> "ColourBox":
        """The smallest that holds `pictures` (C, H, W), along the axes of their colours' `covariance` (C, C)."""
        axes = torch.linalg.eigh(covariance.double())[1].T.contiguous()
        lows, highs = zip(*(_extent(axes.to(picture) @ picture.flatten(1)) for picture in pictures), strict=True)
        low, high = torch.stack(lows).amin(dim=0), torch.stack(highs).amax(dim=0)
        return cls(low[:, None, None], high[:, None, None], axes.to(low))

    def to(self, like: Tensor) -> "ColourBox":
        return ColourBox(self.low.to(like), self.high.to(like), None if self.axes is None else self.axes.to(like))

    def widened(self, by: float) -> "ColourBox":
        return ColourBox(self.low - by, self.high + by, self.axes)

    def project(self, images: Tensor) -> Tensor:
        """The nearest pictures of the box, as projected Langevin dynamics goes on from (Bubeck, Eldan, Lehec 2018).

        images (N, C, ...): every pixel by itself.
        """
        box = self.to(images)
        low, high = (level.reshape(-1, *(1,) * (images.ndim - 2)) for level in (box.low, box.high))
        if box.axes is None:
            return torch.maximum(torch.minimum(images, high), low)
        along = torch.einsum("ac,nc...->na...", box.axes, images)
        beyond = torch.maximum(torch.minimum(along, high), low) - along
        return images + torch.einsum("ac,na...->nc...", box.axes, beyond)


def _extent(colours: Tensor) -> tuple[Tensor, Tensor]:
    return colours.amin(dim=1), colours.amax(dim=1)
