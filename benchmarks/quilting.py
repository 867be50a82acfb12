"""Image quilting: overlapping blocks of a texture, cut where they differ least.

Efros, Freeman, "Image quilting for texture synthesis and transfer", SIGGRAPH 2001.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.pictures.patchwork import right_of_cut

BLOCK = 24  # side in pixels
OVERLAP = 4  # pixels; a sixth of a block, as in the paper
TOLERANCE = 0.1  # blocks whose error exceeds the smallest by at most this share are candidates


def quilt(picture: Tensor, generator: torch.Generator, block: int = BLOCK, overlap: int = OVERLAP) -> Tensor:
    """Synthesize a texture from blocks of `picture` (C, H, W), laid in raster order; same size, grey levels."""
    channels, height, width = picture.shape
    step = block - overlap
    rows, columns = (-(-(side - overlap) // step) for side in (height, width))
    canvas = torch.zeros(channels, rows * step + overlap, columns * step + overlap)
    for row in range(rows):
        for column in range(columns):
            target = canvas[:, row * step : row * step + block, column * step : column * step + block]
            filled = torch.zeros(block, block, dtype=torch.bool)
            filled[:overlap] |= row > 0
            filled[:, :overlap] |= column > 0
            errors = _overlap_errors(picture, target, filled)
            top, left = _draw_corner(errors, generator, perfect=channels * int(filled.sum()))
            new = picture[:, top : top + block, left : left + block]
            difference = (new - target).square().sum(dim=0)
            replace = torch.ones_like(filled)
            if row > 0:
                replace[:overlap] &= right_of_cut(difference[:overlap].T).T
            if column > 0:
                replace[:, :overlap] &= right_of_cut(difference[:, :overlap])
            target[:, replace] = new[:, replace]
    return canvas[:, :height, :width]


def _overlap_errors(picture: Tensor, target: Tensor, filled: Tensor) -> Tensor:
    """Return Σ (block - target)² over the filled pixels, for the block at each corner of the picture.

    Result (H - block + 1, W - block + 1).
    """
    mask = filled.to(picture).expand_as(target)
    wanted = mask * target
    squares, products = (F.conv2d(a[None], b[None])[0, 0] for a, b in ((picture.square(), mask), (picture, wanted)))
    return squares - 2 * products + wanted.square().sum()


def _draw_corner(errors: Tensor, generator: torch.Generator, perfect: float) -> tuple[int, int]:
    """Draw one of the corners whose error is within the tolerance of the smallest error above `perfect`.

    `perfect` is one squared grey level for each value compared. A smaller error means that the block lies at this
    place in the picture; choosing it each time would copy the picture.
    """
    imperfect = errors[errors > perfect]
    limit = (1 + TOLERANCE) * imperfect.min() if len(imperfect) else errors.max()
    corners = (errors <= limit).nonzero()
    top, left = corners[torch.randint(len(corners), (), generator=generator)].tolist()
    return top, left
