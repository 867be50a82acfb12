"""New pictures from a finished model: eq. 19 on a torus of any size, or at the size that an object was learned at."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from core.contracts.learning import Boundary
from core.decoding import denoise
from core.engine import Engine
from core.engine.canvas import by_tiles, run_by_tiles
from core.images import Levels, to_pixels
from core.langevin import Dynamics
from core.model import GenerativeConvNet
from core.tone import Tone, means

PATCHES_PER_CHAIN = 2  # along each side: patches half as wide as the chains they are cut from
CANDIDATES = 48  # drawn for each patch, of which the best fitting is laid
LARGE = 1 << 20  # pixels of a picture that a step takes at once
MARGIN = 6  # pixels around a patch that are compared


def synthesize(
    net: GenerativeConvNet,
    count: int,
    height: int,
    width: int,
    *,
    steps: int,
    dynamics: Dynamics,
    generator: torch.Generator,
    start: Tensor,
    engine: Engine,
    after_step: Callable[[float], None] | None = None,
) -> Tensor:
    """`count` pictures after `steps` Langevin steps of `dynamics`, as the net was learned -> (count, C, H', W').

    start: synthesized pictures of the same net (M, C, S, S), for the chains to begin from.
    On the torus the chains begin as a `patchwork` of them; H' and W' are `height` and `width` rounded up to multiples
    of the net's stride, and every picture is periodic. Elsewhere, where a net may be bound to the places of an object,
    they begin as these, in turn. ValueError where those are of another size than is asked for.
    `after_step(steps done)` is told of each step, of 0 while the patchwork is laid, and on a picture of more than LARGE
    pixels of the parts of a step; what it raises ends the run.
    """
    if dynamics.boundary == "torus":
        stride = net.architecture.total_stride
        sides = (-(-height // stride) * stride, -(-width // stride) * stride)
        started = partial(after_step, 0.0) if after_step else None
        chains = torch.cat([patchwork(start, *sides, stride, generator, started) for _ in range(count)])
        if height * width > LARGE:
            return run_by_tiles(engine, net, chains, steps, dynamics, generator, after_step)
    else:
        if start.shape[2:] != (height, width):
            raise ValueError(f"this net draws pictures of {tuple(start.shape[2:])}, not ({height}, {width})")
        chains = start[torch.arange(count, device=start.device) % len(start)]
    return engine.run(net, chains, steps, dynamics, generator, after_step)


def develop(
    net: GenerativeConvNet,
    chains: Tensor,
    levels: Levels,
    noise_std: float,
    dynamics: Dynamics,
    engine: Engine,
    tone: Tone,
    after_part: Callable[[float], None] | None = None,
) -> Tensor:
    """Chains (N, C, H, W) clean of the noise that was learned under, in the right tone, as bytes of their shape.

    Their own mean is taken for the clean pictures', from which it differs by what `bounded` cuts off. On the torus tile
    by tile, of which `after_part(share done)` is told; what it raises ends it.
    """
    mean = means(chains)

    def clean(window: Tensor, boundary: Boundary) -> Tensor:
        denoised = denoise(net, window, noise_std, boundary, dynamics.random_lattice, engine.basis)
        return to_pixels(tone.give(denoised, mean), levels)

    if dynamics.boundary != "torus":
        return clean(chains, dynamics.boundary)
    made = torch.empty(chains.shape, dtype=torch.uint8)
    return by_tiles(net.architecture, chains, lambda window: clean(window, "valid"), made, after_part)


def patchwork(
    start: Tensor,
    height: int,
    width: int,
    stride: int,
    generator: torch.Generator,
    after_row: Callable[[], None] | None = None,
) -> Tensor:
    """A periodic picture (1, C, height, width) laid with patches of `start` (M, C, S, S), at random and to fit.

    The chains are periodic, so a patch may lie anywhere on them, at multiples of the net's stride. Of some drawn at
    random the one is laid whose surroundings agree best with what lies there already. What is left of the seams is no
    sample of the model; the dynamics heals it, which takes fewer steps than growing structure from noise does.
    `after_row` is called after each row of patches; what it raises ends the work.
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
        if after_row is not None:
            after_row()
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
