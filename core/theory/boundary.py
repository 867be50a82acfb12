"""What the filters see beyond a picture's edges: nothing, its periodic continuation, or its mean.

On the plane ("valid") a filter is applied only where it lies inside the picture, so few filters cover the pixels at the
rim. On the torus ("torus") the picture continues periodically: every pixel is covered alike and the picture tiles. The
torus is the plane after `wrap`; `unwrap` is the adjoint (transpose) of `wrap`, ⟨wrap(I), J⟩ = ⟨I, unwrap(J)⟩, so it
maps gradients back exactly. "padded" is the plane with the picture surrounded by zeros, its mean: pixels at the rim are
covered like all others, and opposite sides do not meet.
"""

import torch
from torch import Tensor
from torch.nn import functional


def surround(images: Tensor, halo: int) -> Tensor:
    """Surround each picture by `halo` pixels of zeros. (N, C, H, W) -> (N, C, H + 2 halo, W + 2 halo)."""
    return functional.pad(images, (halo, halo, halo, halo))


def mirror(images: Tensor, margin: int) -> Tensor:
    """Continue each picture by its mirror image, by `margin` pixels on every side, fewer than its size.

    (N, C, H, W) -> (N, C, H + 2 margin, W + 2 margin). `crop` removes them.
    """
    return functional.pad(images, (margin, margin, margin, margin), mode="reflect") if margin else images


def continue_periodically(images: Tensor, margin: int) -> Tensor:
    """Continue each picture periodically, by `margin` pixels on every side.

    (N, C, H, W) -> (N, C, H + 2 margin, W + 2 margin). `crop` removes them.
    """
    rows, columns = (torch.arange(-margin, side + margin, device=images.device) % side for side in images.shape[-2:])
    return images[..., rows, :][..., columns]


def crop(images: Tensor, margin: int) -> Tensor:
    """Remove `margin` pixels on every side. (N, C, H + 2 margin, W + 2 margin) -> (N, C, H, W)."""
    return images[..., margin : images.shape[-2] - margin, margin : images.shape[-1] - margin]


def wrap(images: Tensor, halo: int) -> Tensor:
    """Continue each picture periodically by `halo` pixels to the right and below.

    images (N, C, H, W) -> (N, C, H + halo, W + halo). The halo may exceed the picture: it then wraps several times.
    """
    height, width = images.shape[-2:]
    if halo <= min(height, width):
        return functional.pad(images, (0, halo, 0, halo), mode="circular") if halo else images
    rows = torch.arange(height + halo, device=images.device) % height
    columns = torch.arange(width + halo, device=images.device) % width
    return images[..., rows, :][..., columns]


def unwrap(wrapped: Tensor, halo: int) -> Tensor:
    """Fold the halo back onto the pixels it repeats and add; the adjoint of `wrap`.

    wrapped (N, C, H + halo, W + halo) -> (N, C, H, W).
    """
    if halo == 0:
        return wrapped
    return _fold(_fold(wrapped, halo, dim=-2), halo, dim=-1)


def _fold(wrapped: Tensor, halo: int, dim: int) -> Tensor:
    """Fold the halo back along one dimension."""
    size = wrapped.shape[dim] - halo
    folded = wrapped.narrow(dim, 0, size).clone()
    for start in range(size, size + halo, size):
        length = min(size, size + halo - start)
        folded.narrow(dim, 0, length).add_(wrapped.narrow(dim, start, length))
    return folded
