"""Space to depth: pictures as blocks of s x s pixels laid out as channels, s the first layer's stride.

A filter of k x k pixels applied every s pixels is a filter of m x m blocks, m = k / s rounded up, applied at every
block; its pixels beyond k are zero. Chains stay in blocks for a whole run: a Langevin step is element-wise, and
converting them in each step would cost as much as a layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from core.pictures.colour_box import ColourBox
from core.schemas.geometry import Boundary, added_pixels
from core.theory.boundary import unwrap, wrap
from core.theory.model import Architecture


@dataclass(frozen=True)
class Layout:
    """Conversion between pictures of one size and blocks. Pairs are (height, width).

    stride: s. size: of the pictures, in pixels. origin: the first block begins this many pixels above and to the left
    of the picture. blocks: number of blocks that cover the picture. before: blocks that `extend` adds above and to the
    left of it. extended: number of blocks that the filters see. periodic: True on the torus.
    """

    stride: int
    size: tuple[int, int]
    origin: int
    blocks: tuple[int, int]
    before: int
    extended: tuple[int, int]
    periodic: bool

    @classmethod
    def of(cls, architecture: Architecture, size: tuple[int, int], boundary: Boundary) -> "Layout":
        """Return the layout of pictures of `size` (height, width) pixels, which must pass `GenerativeConvNet.check`."""
        first, halo = architecture.layers[0], architecture.halo
        stride, kernel_blocks = first.stride, -(-first.kernel_size // first.stride)
        added = added_pixels(architecture.layers, boundary)
        origin, before = (halo % stride, halo // stride) if boundary == "padded" else (0, 0)
        height, width = ((side + added - first.kernel_size) // stride + kernel_blocks for side in size)
        rows, columns = (-(-(origin + side) // stride) for side in size)
        return cls(stride, size, origin, (rows, columns), before, (height, width), boundary == "torus")

    def to_blocks(self, images: Tensor) -> Tensor:
        """Convert pictures (N, C, H, W) to blocks (N, C s², blocks), channels innermost. May return a view."""
        bottom, right = self._pixels_beyond
        blocks = functional.pixel_unshuffle(_pad(images, (self.origin, right, self.origin, bottom)), self.stride)
        return blocks.contiguous(memory_format=torch.channels_last)

    def from_blocks(self, blocks: Tensor) -> Tensor:
        """Convert blocks back, the inverse of `to_blocks`. (N, C s², blocks) -> (N, C, H, W)."""
        images = functional.pixel_shuffle(blocks, self.stride)
        height, width = self.size
        return images[..., self.origin : self.origin + height, self.origin : self.origin + width].contiguous()

    def mask(self, like: Tensor) -> Tensor | None:
        """Return 1 for pixels of the picture and 0 beyond it, (1, C s², blocks); None if no block reaches beyond it.

        like: blocks, for the number of channels, dtype and device.
        """
        if not self.origin and not any(self._pixels_beyond):
            return None
        return self.to_blocks(like.new_ones(1, like.shape[1] // self.stride**2, *self.size))

    def extend(self, blocks: Tensor, dtype: torch.dtype) -> Tensor:
        """Do for blocks what `GenerativeConvNet.extend` does. (N, C s², blocks) -> (N, C s², extended)."""
        extended = wrap(blocks, self._halo) if self.periodic else _pad(blocks, self._padding)
        return extended.to(dtype, memory_format=torch.channels_last)

    def fold_back(self, extended: Tensor) -> Tensor:
        """Fold what `extend` added back onto the picture; its adjoint. (N, C s², extended) -> (N, C s², blocks)."""
        if self.periodic:
            return unwrap(extended, self._halo)
        return _pad(extended, [-side for side in self._padding])

    @property
    def _halo(self) -> int:
        return self.extended[0] - self.blocks[0]

    @property
    def _padding(self) -> list[int]:
        """Blocks that `extend` adds on the left, right, top and bottom; negative if it removes blocks."""
        bottom, right = (seen - self.before - own for seen, own in zip(self.extended, self.blocks, strict=True))
        return [self.before, right, self.before, bottom]

    @property
    def _pixels_beyond(self) -> tuple[int, int]:
        """Pixels by which the last blocks reach beyond the picture, at the bottom and on the right."""
        bottom, right = (
            own * self.stride - self.origin - side for own, side in zip(self.blocks, self.size, strict=True)
        )
        return bottom, right


def project_blocks_(blocks: Tensor, box: ColourBox, channels: int) -> None:
    """Apply `ColourBox.project` in place to pictures in blocks (N, C s², blocks)."""
    pixels = blocks.unflatten(1, (channels, -1))  # type: ignore[no-untyped-call]
    pixels.copy_(box.project(pixels))


def filters_to_blocks(weight: Tensor, stride: int) -> Tensor:
    """Convert filters as `Layout.to_blocks` converts pictures. (filters, C, k, k) -> (filters, C s², m, m)."""
    missing = -weight.shape[-1] % stride
    return functional.pixel_unshuffle(_pad(weight, (0, missing, 0, missing)), stride)


def filters_from_blocks(weight: Tensor, stride: int, kernel_size: int) -> Tensor:
    """Undo `filters_to_blocks`, also for gradients. (filters, C s², m, m) -> (filters, C, k, k)."""
    return functional.pixel_shuffle(weight, stride)[..., :kernel_size, :kernel_size]


def _pad(images: Tensor, sides: Sequence[int]) -> Tensor:
    """Pad with zeros as `functional.pad` does, but without a copy if all `sides` are zero."""
    return functional.pad(images, list(sides)) if any(sides) else images
