"""Space to depth: pictures as the first layer's filters see them, blocks of s x s pixels laid out as channels.

A filter of k x k pixels applied every s pixels is a filter of m x m blocks, m = k / s rounded up, applied at every
block, its pixels beyond k zero. Chains stay laid out so for a whole run: a Langevin step is element-wise, and to go
back and forth would cost as much as a layer.
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
    """Where the pixels of pictures of one size lie. Pairs are (height, width).

    stride: s. size: of the pictures, in pixels. origin: pixels by which the first block begins above and to the left
    of the picture. blocks: that hold the picture. before: blocks of surround above and to the left of these. seen:
    blocks that the filters see. periodic: whether the blocks continue on the opposite side.
    """

    stride: int
    size: tuple[int, int]
    origin: int
    blocks: tuple[int, int]
    before: int
    seen: tuple[int, int]
    periodic: bool

    @classmethod
    def of(cls, architecture: Architecture, size: tuple[int, int], boundary: Boundary) -> "Layout":
        """For pictures of `size` (height, width) pixels that suit the net (`GenerativeConvNet.extend`)."""
        first, halo = architecture.layers[0], architecture.halo
        stride, across = first.stride, -(-first.kernel_size // first.stride)
        around = added_pixels(architecture.layers, boundary)
        origin, before = (halo % stride, halo // stride) if boundary == "padded" else (0, 0)
        height, width = ((side + around - first.kernel_size) // stride + across for side in size)
        rows, columns = (-(-(origin + side) // stride) for side in size)
        return cls(stride, size, origin, (rows, columns), before, (height, width), boundary == "torus")

    def to_blocks(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C s², blocks), channels innermost in memory."""
        bottom, right = self._beyond
        blocks = functional.pixel_unshuffle(_padded(images, (self.origin, right, self.origin, bottom)), self.stride)
        return blocks.contiguous(memory_format=torch.channels_last)

    def from_blocks(self, blocks: Tensor) -> Tensor:
        """The way back: (N, C s², blocks) -> (N, C, H, W)."""
        images = functional.pixel_shuffle(blocks, self.stride)
        height, width = self.size
        return images[..., self.origin : self.origin + height, self.origin : self.origin + width].contiguous()

    def mask(self, like: Tensor) -> Tensor | None:
        """1 where a pixel is one of the picture, (1, C s², blocks), of the kind of `like`; None where all are."""
        if not self.origin and not any(self._beyond):
            return None
        return self.to_blocks(like.new_ones(1, like.shape[1] // self.stride**2, *self.size))

    def extend(self, blocks: Tensor, dtype: torch.dtype) -> Tensor:
        """What the filters see, as `GenerativeConvNet.extend`: (N, C s², blocks) -> (N, C s², seen), of `dtype`."""
        extended = wrap(blocks, self._halo) if self.periodic else _padded(blocks, self._surround)
        return extended.to(dtype, memory_format=torch.channels_last)

    def fold_back(self, extended: Tensor) -> Tensor:
        """The adjoint of `extend`: (N, C s², seen) -> (N, C s², blocks)."""
        if self.periodic:
            return unwrap(extended, self._halo)
        return _padded(extended, [-side for side in self._surround])

    @property
    def _halo(self) -> int:
        return self.seen[0] - self.blocks[0]

    @property
    def _surround(self) -> list[int]:
        """Blocks added to the left, to the right, above and below; taken away where negative."""
        below, right = (seen - self.before - own for seen, own in zip(self.seen, self.blocks, strict=True))
        return [self.before, right, self.before, below]

    @property
    def _beyond(self) -> tuple[int, int]:
        """Pixels of the last blocks below and to the right of the picture."""
        bottom, right = (
            own * self.stride - self.origin - side for own, side in zip(self.blocks, self.size, strict=True)
        )
        return bottom, right


def project_blocks_(blocks: Tensor, box: ColourBox, channels: int) -> None:
    """`ColourBox.project`, of pictures in blocks (N, C s², blocks), in place."""
    pixels = blocks.unflatten(1, (channels, -1))  # type: ignore[no-untyped-call]
    pixels.copy_(box.project(pixels))


def filters_to_blocks(weight: Tensor, stride: int) -> Tensor:
    """(filters, C, k, k) -> (filters, C s², m, m): each filter laid out as `Layout` lays out pictures."""
    missing = -weight.shape[-1] % stride
    return functional.pixel_unshuffle(_padded(weight, (0, missing, 0, missing)), stride)


def _padded(images: Tensor, sides: Sequence[int]) -> Tensor:
    """`functional.pad`, which copies also where there is nothing to add."""
    return functional.pad(images, list(sides)) if any(sides) else images


def filters_from_blocks(weight: Tensor, stride: int, kernel_size: int) -> Tensor:
    """The way back, also of a gradient: (filters, C s², m, m) -> (filters, C, k, k)."""
    return functional.pixel_shuffle(weight, stride)[..., :kernel_size, :kernel_size]
