"""New pictures of any size from a finished model: eq. 19 on a torus of that size."""

from collections.abc import Callable

import torch
from torch import Tensor

from core.langevin import run_chains
from core.model import GenerativeConvNet

PATCHES_PER_CHAIN = 2  # along each side: patches half as wide as the chains they are cut from


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
    after_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """`count` pictures after `steps` Langevin steps of `step_size` ε -> (count, C, H', W').

    H' and W' are `height` and `width` rounded up to multiples of the net's stride; every picture is periodic.
    start: synthesized pictures of the same net (M, C, S, S), for the chains to begin from (see `patchwork`).
    `after_step(step, images)` is told of each step; what it raises ends the run.
    """
    stride = net.architecture.total_stride
    sides = (-(-height // stride) * stride, -(-width // stride) * stride)
    chains = torch.cat([patchwork(start, *sides, stride, generator) for _ in range(count)])
    return run_chains(net, chains, steps, step_size, generator, "torus", after_step)


def patchwork(start: Tensor, height: int, width: int, stride: int, generator: torch.Generator) -> Tensor:
    """A picture (1, C, height, width) laid with patches of `start` (M, C, S, S), each from a random chain and place.

    The chains are periodic, so a patch may lie anywhere on them, at multiples of the net's stride. The seams between
    patches are no sample of the model; the dynamics heals them, which takes fewer steps than growing structure from
    noise does.
    """
    size = max(start.shape[-1] // PATCHES_PER_CHAIN // stride, 1) * stride
    picture = start.new_empty(1, start.shape[1], height, width)
    for top in range(0, height, size):
        for left in range(0, width, size):
            chain, row, column = _draw(generator, (len(start), start.shape[-2] // stride, start.shape[-1] // stride))
            patch = torch.roll(start[chain], (-row * stride, -column * stride), dims=(-2, -1))
            place = picture[0, :, top : top + size, left : left + size]
            place.copy_(patch[:, : place.shape[-2], : place.shape[-1]])
    return picture


def _draw(generator: torch.Generator, limits: tuple[int, ...]) -> list[int]:
    """A random whole number below each limit."""
    return [int(torch.randint(max(limit, 1), (), generator=generator, device=generator.device)) for limit in limits]
