"""Image quilting: blocks of a texture, laid to overlap and cut where they differ least.

Efros, Freeman, "Image quilting for texture synthesis and transfer", SIGGRAPH 2001.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 24  # side in pixels
OVERLAP = 4  # pixels: the paper's sixth of a block
TOLERANCE = 0.1  # of the least error: blocks that fit so well are drawn from


def quilt(picture: Tensor, generator: torch.Generator, block: int = BLOCK, overlap: int = OVERLAP) -> Tensor:
    """A picture (C, H, W) in grey levels -> another of its size, made of its blocks, in raster order."""
    channels, height, width = picture.shape
    step = block - overlap
    rows, columns = (-(-(side - overlap) // step) for side in (height, width))
    canvas = torch.zeros(channels, rows * step + overlap, columns * step + overlap)
    for row in range(rows):
        for column in range(columns):
            there = canvas[:, row * step : row * step + block, column * step : column * step + block]
            laid = torch.zeros(block, block, dtype=torch.bool)
            laid[:overlap] |= row > 0
            laid[:, :overlap] |= column > 0
            top, left = _fitting_corner(_errors(picture, there, laid), generator, perfect=channels * int(laid.sum()))
            new = picture[:, top : top + block, left : left + block]
            difference = (new - there).square().sum(dim=0)
            ours = torch.ones_like(laid)
            if row > 0:
                ours[:overlap] &= beyond_the_cut(difference[:overlap].T).T
            if column > 0:
                ours[:, :overlap] &= beyond_the_cut(difference[:, :overlap])
            there[:, ours] = new[:, ours]
    return canvas[:, :height, :width]


def beyond_the_cut(difference: Tensor) -> Tensor:
    """Sec. 2.1, minimum error boundary cut: bool (H, W), true from the cheapest path from top to bottom rightwards.

    E[i, j] = difference[i, j] + min(E[i-1, j-1], E[i-1, j], E[i-1, j+1]), followed back from the least at the bottom.
    """
    costs = [difference[0]]
    for line in difference[1:]:
        before = F.pad(costs[-1], (1, 1), value=torch.inf)
        costs.append(line + before.unfold(0, 3, 1).amin(dim=1))
    beyond = torch.zeros_like(difference, dtype=torch.bool)
    at = int(costs[-1].argmin())
    beyond[-1, at:] = True
    for index in reversed(range(len(costs) - 1)):
        leftmost = max(at - 1, 0)
        at = leftmost + int(costs[index][leftmost : at + 2].argmin())
        beyond[index, at:] = True
    return beyond


def _errors(picture: Tensor, there: Tensor, laid: Tensor) -> Tensor:
    """Σ (block - there)² over what is laid already, for the block at each corner: (H - block + 1, W - block + 1)."""
    mask = laid.to(picture).expand_as(there)
    wanted = mask * there
    squares, products = (F.conv2d(a[None], b[None])[0, 0] for a, b in ((picture.square(), mask), (picture, wanted)))
    return squares - 2 * products + wanted.square().sum()


def _fitting_corner(errors: Tensor, generator: torch.Generator, perfect: float) -> tuple[int, int]:
    """One of the corners whose error is within the tolerance of the least above `perfect`, a grey level in each value.

    Below it is only the block that lies there in the picture, and to lay it always would copy the picture.
    """
    imperfect = errors[errors > perfect]
    limit = (1 + TOLERANCE) * imperfect.min() if len(imperfect) else errors.max()
    corners = (errors <= limit).nonzero()
    top, left = corners[torch.randint(len(corners), (), generator=generator)].tolist()
    return top, left
