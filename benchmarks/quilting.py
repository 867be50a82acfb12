"""Image quilting: overlapping blocks of a texture, cut where they differ least.

Efros, Freeman, "Image quilting for texture synthesis and transfer", SIGGRAPH 2001.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

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


def right_of_cut(difference: Tensor) -> Tensor:
    """Return the mask (H, W) of the pixels on the minimum error boundary cut and to its right (sec. 2.1).

    The cut is the cheapest path from top to bottom: E[i, j] = difference[i, j] + min(E[i-1, j-1], E[i-1, j],
    E[i-1, j+1]), traced back from the smallest E of the last row.
    """
    costs = [difference[0]]
    for line in difference[1:]:
        above = F.pad(costs[-1], (1, 1), value=torch.inf)
        costs.append(line + above.unfold(0, 3, 1).amin(dim=1))
    right = torch.zeros_like(difference, dtype=torch.bool)
    column = int(costs[-1].argmin())
    right[-1, column:] = True
    for row in reversed(range(len(costs) - 1)):
        leftmost = max(column - 1, 0)
        column = leftmost + int(costs[row][leftmost : column + 2].argmin())
        right[row, column:] = True
    return right


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
