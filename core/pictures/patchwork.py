"""Larger periodic pictures, laid with patches of smaller ones: where Langevin dynamics starts from.

As in image quilting (Efros and Freeman 2001), a patch is the best fitting of some random ones, and is cut where it
differs least from what is laid.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PATCHES_PER_SIDE = 2  # of a chain: patches are half as wide as the chains
MAX_PATCH = 256  # pixels: the side of a patch of larger chains
CANDIDATES = 48  # random patches of up to CANDIDATE_SIDE pixels; the best fitting one is laid
CANDIDATE_SIDE = 64  # of larger patches more are tried, in proportion to their area: a picture needs fewer of them
GROUP = 32  # of candidates that are compared at once: they stay in the caches
MARGIN = 0.1  # of a patch's side, on each side of it: there it is compared with what is laid, and cut
MIN_MARGIN = 6  # pixels
MAX_COMPARED = 4096  # pixels of a margin, evenly spread over it


def patch_side(chains: Tensor) -> int:
    """Return the side in pixels of the patches that chains (M, C, S, S') are cut into, at least 1."""
    return max(min(min(chains.shape[-2:]) // PATCHES_PER_SIDE, MAX_PATCH), 1)


def patchwork(
    start: Tensor,
    height: int,
    width: int,
    stride: int,
    generator: torch.Generator,
    after_row: Callable[[], None] | None = None,
) -> Tensor:
    """Lay a periodic picture (1, C, height, width) with random patches of periodic chains `start` (M, C, S, S).

    For each place, random patches are compared with what is already laid around it, and the one with the smallest
    squared difference is laid. Patches begin at multiples of the net's stride, anywhere on the chains. The picture is
    not a sample of the model along the seams; the Langevin dynamics repairs these seams in fewer steps than it needs to
    grow structure from noise.
    `after_row` is called after each row of patches; an exception it raises ends the work.
    """
    size = max(patch_side(start) // stride, 1) * stride
    margin = max(round(MARGIN * size), MIN_MARGIN)
    tried = max(CANDIDATES, round(CANDIDATES * (size / CANDIDATE_SIDE) ** 2))
    chains = _Source.of(start, size, margin)
    picture = start.new_zeros(height, width, start.shape[1])
    is_laid = torch.zeros(height, width, dtype=torch.bool, device=start.device)
    for top in range(0, height, size):
        for left in range(0, width, size):
            down, across = (
                _with_margin(first, size, side, margin, start) for first, side in ((top, height), (left, width))
            )
            rows, columns = down[:, None] % height, across % width
            laid, known = picture[rows, columns], is_laid[rows, columns]
            places = known.nonzero()
            compared = places[:: max(len(places) // MAX_COMPARED, 1)]
            corners = _random_corners(start, stride, tried, generator)
            there = laid[compared[:, 0], compared[:, 1]]
            offsets = down[compared[:, 0]] - top, across[compared[:, 1]] - left
            errors = [
                (chains.cut(some, *offsets) - there).square_().sum(dim=(1, 2)) for some in torch.split(corners, GROUP)
            ]
            best = corners[torch.cat(errors).argmin()][None]
            patch = chains.cut(best, (down - top)[:, None], across - left)[0]
            chosen = _inside_cuts((patch - laid).square().sum(dim=-1), known, margin)
            picture[rows, columns] = torch.where(chosen[..., None], patch, laid)
            is_laid[rows, columns] = True
        if after_row is not None:
            after_row()
    return picture.movedim(-1, 0)[None].contiguous()


@dataclass(frozen=True)
class _Source:
    """Periodic chains that patches are cut out of, continued on each side so far that no patch reaches beyond them.

    pixels: of all chains, line by line (K, C). lines, columns: of one chain, continued. margin: how far it is continued
    above and to the left.
    """

    pixels: Tensor
    lines: int
    columns: int
    margin: int

    @classmethod
    def of(cls, chains: Tensor, size: int, margin: int) -> "_Source":
        """Continue chains (M, C, S, S') for patches of `size` pixels and margins."""
        down, across = (
            torch.arange(-margin, side + size + margin, device=chains.device) % side for side in chains.shape[2:]
        )
        continued = chains.movedim(1, -1)[:, down[:, None], across]
        return cls(continued.flatten(0, 2), len(down), len(across), margin)

    def cut(self, corners: Tensor, down: Tensor, across: Tensor) -> Tensor:
        """Return the pixels at offsets `down`, `across` from K corners (chain, row, column) -> (K, ..., C)."""
        chain, row, column = corners.unbind(1)
        first = (chain * self.lines + row + self.margin) * self.columns + column + self.margin
        places = first.view(-1, *[1] * max(down.ndim, across.ndim)) + (down * self.columns + across)
        return self.pixels.index_select(0, places.flatten()).view(*places.shape, self.pixels.shape[1])


def _with_margin(first: int, size: int, side: int, margin: int, like: Tensor) -> Tensor:
    """Return the lines of a patch, with those of the margins that are laid already: not after the last patch but one.

    The picture has `side` lines. After the last patch its first lines come again.
    """
    end = min(first + size, side)
    before, after = (margin if first else 0), (margin if first and end == side else 0)
    return torch.arange(first - before, end + after, device=like.device)


def _inside_cuts(difference: Tensor, is_laid: Tensor, margin: int) -> Tensor:
    """Return which pixels of a patch with its margins are laid: those inside the cuts through the laid margins.

    difference (H, W): to what is laid. is_laid: bool (H, W).
    """
    chosen = torch.ones_like(is_laid)
    for turns in range(4):  # the margin on the left, then the others, turned there
        turned, laid = (torch.rot90(one, turns) for one in (difference, is_laid))
        if laid[:, :margin].all() and not laid.all():
            inside = torch.ones_like(laid)
            inside[:, :margin] = right_of_cut(turned[:, :margin])
            chosen &= torch.rot90(inside, -turns)
    return chosen


def right_of_cut(difference: Tensor) -> Tensor:
    """Return the mask (H, W) of the pixels on the minimum error boundary cut and to its right.

    The cut is the cheapest path from top to bottom: E[i, j] = difference[i, j] + min(E[i-1, j-1], E[i-1, j],
    E[i-1, j+1]), traced back from the smallest E of the last row (Efros and Freeman 2001, sec. 2.1).
    """
    costs = difference.cpu().double().numpy().copy()
    for row in range(1, len(costs)):
        above = np.pad(costs[row - 1], 1, constant_values=np.inf)
        costs[row] += np.minimum(np.minimum(above[:-2], above[1:-1]), above[2:])
    right = torch.zeros(difference.shape, dtype=torch.bool)
    column = int(costs[-1].argmin())
    right[-1, column:] = True
    for row in reversed(range(len(costs) - 1)):
        leftmost = max(column - 1, 0)
        column = leftmost + int(costs[row, leftmost : column + 2].argmin())
        right[row, column:] = True
    return right.to(difference.device)


def _random_corners(start: Tensor, stride: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw the chain, first row and first column of each candidate, at multiples of `stride` -> (count, 3)."""
    chains, _, height, width = start.shape
    chain, row, column = (
        torch.randint(max(limit, 1), (count,), generator=generator, device=generator.device)
        for limit in (chains, height // stride, width // stride)
    )
    return torch.stack([chain, row * stride, column * stride], dim=1)
