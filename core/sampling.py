"""New pictures from a finished model: eq. 19 on a torus of any size, or at the size that an object was learned at."""

from collections.abc import Callable

import torch
from torch import Tensor

from core.contracts.learning import Boundary
from core.langevin import Box, run_chains
from core.model import GenerativeConvNet

PATCHES_PER_CHAIN = 2  # along each side: patches half as wide as the chains they are cut from
CANDIDATES = 48  # drawn for each patch, of which the best fitting is laid
MARGIN = 6  # pixels around a patch that are compared


def synthesize(
    net: GenerativeConvNet,
    count: int,
    height: int,
    width: int,
    *,
    steps: int,
    step_size: float,
    generator: torch.Generator,
    start: Tensor,
    boundary: Boundary = "torus",
    after_step: Callable[[int, Tensor], None] | None = None,
    box: Box | None = None,
    random_lattice: bool = False,
) -> Tensor:
    """`count` pictures after `steps` Langevin steps of `step_size` ε -> (count, C, H', W').

    start: synthesized pictures of the same net (M, C, S, S), for the chains to begin from.
    On the torus the chains begin as a `patchwork` of them; H' and W' are `height` and `width` rounded up to multiples
    of the net's stride, and every picture is periodic. Elsewhere, where a net may be bound to the places of an object,
    they begin as some of them, drawn at random. ValueError where those are of another size than is asked for.
    `after_step(step, images)` is told of each step; what it raises ends the run. `box` and `random_lattice`:
    as the net was learned.
    """
    if boundary == "torus":
        stride = net.architecture.total_stride
        sides = (-(-height // stride) * stride, -(-width // stride) * stride)
        chains = torch.cat([patchwork(start, *sides, stride, generator) for _ in range(count)])
    else:
        if start.shape[2:] != (height, width):
            raise ValueError(f"this net draws pictures of {tuple(start.shape[2:])}, not ({height}, {width})")
        chosen = torch.randint(len(start), (count,), generator=generator, device=generator.device)
        chains = start[chosen.to(start.device)]
    return run_chains(net, chains, steps, step_size, generator, boundary, after_step, box, random_lattice)


def patchwork(start: Tensor, height: int, width: int, stride: int, generator: torch.Generator) -> Tensor:
    """A periodic picture (1, C, height, width) laid with patches of `start` (M, C, S, S), at random and to fit.

    The chains are periodic, so a patch may lie anywhere on them, at multiples of the net's stride. Of some drawn at
    random the one is laid whose surroundings agree best with what lies there already. What is left of the seams is no
    sample of the model; the dynamics heals it, which takes fewer steps than growing structure from noise does.
    """
    size = max(start.shape[-1] // PATCHES_PER_CHAIN // stride, 1) * stride
    picture = start.new_zeros(start.shape[1], height, width)
    laid = torch.zeros(height, width, dtype=torch.bool, device=start.device)
    for top in range(0, height, size):
        for left in range(0, width, size):
            rows, columns = _span(top, size, height, start), _span(left, size, width, start)
            drawn = _windows(start, len(rows), len(columns), stride, generator)
            known = laid[rows % height][:, columns % width]
            there = picture[:, rows % height][:, :, columns % width]
            errors = ((drawn - there).square() * known).sum(dim=(1, 2, 3))
            patch = drawn[errors.argmin(), :, MARGIN:-MARGIN, MARGIN:-MARGIN]
            picture[:, top : top + size, left : left + size] = patch
            laid[top : top + size, left : left + size] = True
    return picture[None]


def _span(first: int, size: int, side: int, like: Tensor) -> Tensor:
    """The lines of a patch that begins at `first`, and a margin of what lies before and after it."""
    return torch.arange(first - MARGIN, min(first + size, side) + MARGIN, device=like.device)


def _windows(start: Tensor, height: int, width: int, stride: int, generator: torch.Generator) -> Tensor:
    """Windows (CANDIDATES, C, height, width) of random chains at random places of the net's lattice."""
    chains, _, chain_height, chain_width = start.shape
    chain, row, column = (
        torch.randint(max(limit, 1), (CANDIDATES, 1, 1), generator=generator, device=generator.device)
        for limit in (chains, chain_height // stride, chain_width // stride)
    )
    down = torch.arange(-MARGIN, height - MARGIN, device=start.device)[None, :, None]
    across = torch.arange(-MARGIN, width - MARGIN, device=start.device)[None, None, :]
    windows = start.movedim(1, -1)[
        chain, (row * stride + down) % chain_height, (column * stride + across) % chain_width
    ]
    return windows.movedim(-1, 1)
