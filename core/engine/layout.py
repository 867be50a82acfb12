"""Space to depth: pictures as blocks of s x s pixels laid out as channels, s the first layer's stride.

A filter of k x k pixels applied every s pixels is a filter of m x m blocks, m = k / s rounded up, applied at every
block; its pixels beyond k are zero. Chains stay in blocks for a whole run, because a Langevin step is element-wise;
they leave them for a moment to be rolled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from core.pictures.colour_box import ColourBox
from core.schemas.geometry import Boundary, added_pixels
from core.theory.boundary import unwrap
from core.theory.model import Architecture

MAX_BLOCK_NUMBERS = 64  # of a block that is multiplied as a whole: most of the numbers in its matrix are zeros


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

    def to_blocks(self, images: Tensor, phase: tuple[int, int] = (0, 0)) -> Tensor:
        """Convert pictures (N, C, H, W), rolled by `phase` (down, right), to blocks (N, C s², blocks): a copy.

        Channels are innermost.
        """
        bottom, right = self._pixels_beyond
        rolled = roll_into(torch.empty_like(images), images, phase) if any(phase) else images
        padded = _pad(rolled, (self.origin, right, self.origin, bottom))
        pixels = _by_blocks(padded, self.stride)
        blocks = torch.empty(pixels.shape, dtype=images.dtype, device=images.device)
        if images.is_cuda:
            blocks.copy_(pixels)
        else:  # line by line: a copy of all at once would loop over the pixels of a block innermost, which are few
            for channel, row in product(range(pixels.shape[3]), range(self.stride)):
                blocks[:, :, :, channel, row] = pixels[:, :, :, channel, row]
        return blocks.flatten(3).permute(0, 3, 1, 2)

    def from_blocks(self, blocks: Tensor) -> Tensor:
        """Convert blocks back, the inverse of `to_blocks` without a phase. (N, C s², blocks) -> (N, C, H, W)."""
        count, channels, rows, columns = blocks.shape
        images = blocks.new_empty(count, channels // self.stride**2, rows * self.stride, columns * self.stride)
        pixels = _by_blocks(images, self.stride)
        pixels.copy_(blocks.permute(0, 2, 3, 1).reshape(pixels.shape))
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
        if not self.periodic:
            return _pad(blocks, self._padding).to(dtype, memory_format=torch.channels_last)
        shape, innermost = (*blocks.shape[:2], *self.extended), torch.channels_last
        extended = torch.empty(shape, dtype=dtype, device=blocks.device, memory_format=innermost)
        rows, columns = self.blocks
        extended[:, :, :rows, :columns] = blocks
        _continue_(extended[:, :, :, :columns], rows, dim=2)
        _continue_(extended, columns, dim=3)
        return extended

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


def box_for_blocks(box: ColourBox, stride: int) -> ColourBox:
    """Return the box for `project_blocks_`: of whole blocks if these are small, else of single pixels."""
    return box.of_blocks(stride**2) if len(box.low) * stride**2 <= MAX_BLOCK_NUMBERS else box


def project_blocks_(blocks: Tensor, box: ColourBox) -> None:
    """Apply `ColourBox.project` in place to pictures in blocks (N, C s², blocks), channels innermost.

    box: `box_for_blocks`. The axes of one of whole blocks are applied to all their numbers by one product of matrices.
    """
    if len(box.low) < blocks.shape[1]:
        pixels = blocks.unflatten(1, (len(box.low), -1))  # type: ignore[no-untyped-call]
        pixels.copy_(box.project(pixels))
        return
    rows = blocks.permute(0, 2, 3, 1).view(-1, blocks.shape[1])
    low, high = box.low.flatten(), box.high.flatten()
    if box.axes is None:
        rows.clamp_(low, high)
        return
    along = rows @ box.axes.T
    rows.addmm_(along.sub_(along.clamp(low, high)), box.axes, alpha=-1)


def roll_into(rolled: Tensor, images: Tensor, phase: tuple[int, int]) -> Tensor:
    """Fill `rolled` with pictures (..., H, W) rolled by `phase` (down, right), and return it.

    `Tensor.roll` takes the memory of one more for each direction.
    """
    rows, columns = (_moved_lines(by % side, side) for by, side in zip(phase, images.shape[-2:], strict=True))
    for (to_rows, from_rows), (to_columns, from_columns) in product(rows, columns):
        rolled[..., to_rows, to_columns] = images[..., from_rows, from_columns]
    return rolled


def filters_to_blocks(weight: Tensor, stride: int) -> Tensor:
    """Convert filters as `Layout.to_blocks` converts pictures. (filters, C, k, k) -> (filters, C s², m, m)."""
    missing = -weight.shape[-1] % stride
    return functional.pixel_unshuffle(_pad(weight, (0, missing, 0, missing)), stride)


def filters_from_blocks(weight: Tensor, stride: int, kernel_size: int) -> Tensor:
    """Undo `filters_to_blocks`, also for gradients. (filters, C s², m, m) -> (filters, C, k, k)."""
    return functional.pixel_shuffle(weight, stride)[..., :kernel_size, :kernel_size]


def _by_blocks(images: Tensor, stride: int) -> Tensor:
    """Return a view of pictures, block by block. (N, C, H, W) -> (N, rows of blocks, columns, C, s, s)."""
    count, channels, height, width = images.shape
    blocks = images.view(count, channels, height // stride, stride, width // stride, stride)
    return blocks.permute(0, 2, 4, 1, 3, 5)


def _moved_lines(by: int, side: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where the lines of a periodic picture come to lie, and where from, if it is rolled by 0 to `side`."""
    return (slice(by, side), slice(0, side - by)), (slice(0, by), slice(side - by, side))


def _continue_(values: Tensor, period: int, dim: int) -> None:
    """Fill what lies beyond the first `period` values along one dimension periodically, in place."""
    size = values.shape[dim]
    for start in range(period, size, period):
        length = min(period, size - start)
        values.narrow(dim, start, length).copy_(values.narrow(dim, 0, length))


def _pad(images: Tensor, sides: Sequence[int]) -> Tensor:
    """Pad with zeros as `functional.pad` does, but without a copy if all `sides` are zero."""
    return functional.pad(images, list(sides)) if any(sides) else images
