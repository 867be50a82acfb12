"""Larger periodic pictures, laid with patches of smaller ones: where Langevin dynamics starts from."""

from collections.abc import Callable

import torch
from torch import Tensor

PATCHES_PER_SIDE = 2  # of a chain: patches are half as wide as the chains
MAX_PATCH = 256  # pixels: the side of a patch of larger chains
CANDIDATES = 48  # random patches of up to CANDIDATE_SIDE pixels; the best fitting one is laid
CANDIDATE_SIDE = 64  # of larger patches more are tried, in proportion to their area: a picture needs fewer of them
MARGIN = 6  # pixels around a patch that are compared with what is already laid


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

    For each place, random patches are compared with what is already laid around it, and the one with the
    smallest squared difference is laid. Patches begin at multiples of the net's stride, anywhere on the chains. The
    picture is not a sample of the model along the seams; the Langevin dynamics repairs these seams in fewer steps than
    it needs to grow structure from noise.
    `after_row` is called after each row of patches; an exception it raises ends the work.
    """
    size = max(patch_side(start) // stride, 1) * stride
    tried = max(CANDIDATES, round(CANDIDATES * (size / CANDIDATE_SIDE) ** 2))
    chains = start.movedim(1, -1).contiguous()
    picture = start.new_zeros(height, width, start.shape[1])
    is_laid = torch.zeros(height, width, dtype=torch.bool, device=start.device)
    for top in range(0, height, size):
        for left in range(0, width, size):
            rows, columns = range(top, min(top + size, height)), range(left, min(left + size, width))
            corners = _random_corners(start, stride, tried, generator)
            down, across = _with_margin(rows, start), _with_margin(columns, start)
            known = is_laid[(down % height)[:, None], across % width].nonzero()
            down, across = down[known[:, 0]], across[known[:, 1]]
            candidates = _cut(chains, corners, down - top, across - left)
            errors = (candidates - picture[down % height, across % width]).square().sum(dim=(1, 2))
            best = corners[errors.argmin()][None]
            down, across = (torch.arange(len(lines), device=start.device) for lines in (rows, columns))
            picture[rows.start : rows.stop, columns.start : columns.stop] = _cut(chains, best, down[:, None], across)[0]
            is_laid[rows.start : rows.stop, columns.start : columns.stop] = True
        if after_row is not None:
            after_row()
    return picture.movedim(-1, 0)[None].contiguous()


def _with_margin(lines: range, like: Tensor) -> Tensor:
    """Return the lines of a patch and MARGIN lines before and after it."""
    return torch.arange(lines.start - MARGIN, lines.stop + MARGIN, device=like.device)


def _random_corners(start: Tensor, stride: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw the chain, first row and first column of each candidate, at multiples of `stride` -> (count, 3)."""
    chains, _, height, width = start.shape
    chain, row, column = (
        torch.randint(max(limit, 1), (count,), generator=generator, device=generator.device)
        for limit in (chains, height // stride, width // stride)
    )
    return torch.stack([chain, row * stride, column * stride], dim=1)


def _cut(chains: Tensor, corners: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Return pixels of periodic chains (M, S, S, C) at offsets `down`, `across` from K corners -> (K, ..., C)."""
    _, height, width, _ = chains.shape
    chain, row, column = (corner.view(-1, *[1] * down.ndim) for corner in corners.unbind(1))
    return chains[chain, (row + down) % height, (column + across) % width]
