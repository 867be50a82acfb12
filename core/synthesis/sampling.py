"""New pictures from a finished model: eq. 19 on a torus of any size, or at the size that an object was learned at."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from core.engine import Engine
from core.engine.dynamics import Dynamics
from core.engine.tiling import map_tiles, needs_tiles, run_in_tiles
from core.pictures.images import Levels, to_pixels
from core.recipe.denoising import denoise
from core.recipe.tone import Tone, means
from core.schemas.geometry import Boundary, round_up
from core.theory.model import GenerativeConvNet

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
    `after_step(steps done)` is told of each step, of 0 while the patchwork is laid, and on a picture too large for a
    step at once of the parts of a step; what it raises ends the run.
    """
    if dynamics.boundary == "torus":
        stride = net.architecture.total_stride
        sides = (round_up(height, stride), round_up(width, stride))
        started = partial(after_step, 0.0) if after_step else None
        chains = torch.cat([patchwork(start, *sides, stride, generator, started) for _ in range(count)])
        if needs_tiles(net.architecture, chains):
            return run_in_tiles(engine, net, chains, steps, dynamics, generator, after_step)
    else:
        if start.shape[2:] != (height, width):
            raise ValueError(f"this net draws pictures of {tuple(start.shape[2:])}, not ({height}, {width})")
        chains = start[torch.arange(count, device=start.device) % len(start)]
    return engine.run(net, chains, steps, dynamics, generator, after_step)


def render(
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
    return map_tiles(net.architecture, chains, lambda window: clean(window, "valid"), made, after_part)


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
    chains = start.movedim(1, -1).contiguous()
    picture = start.new_zeros(height, width, start.shape[1])
    laid = torch.zeros(height, width, dtype=torch.bool, device=start.device)
    for top in range(0, height, size):
        for left in range(0, width, size):
            rows, columns = range(top, min(top + size, height)), range(left, min(left + size, width))
            corners = _corners(start, stride, generator)
            down, across = _beside(rows, start), _beside(columns, start)
            known = laid[(down % height)[:, None], across % width].nonzero()
            down, across = down[known[:, 0]], across[known[:, 1]]
            drawn = _cut(chains, corners, down - top, across - left)
            errors = (drawn - picture[down % height, across % width]).square().sum(dim=(1, 2))
            best = corners[errors.argmin()][None]
            down, across = (torch.arange(len(lines), device=start.device) for lines in (rows, columns))
            picture[rows.start : rows.stop, columns.start : columns.stop] = _cut(chains, best, down[:, None], across)[0]
            laid[rows.start : rows.stop, columns.start : columns.stop] = True
        if after_row is not None:
            after_row()
    return picture.movedim(-1, 0)[None].contiguous()


def _beside(lines: range, like: Tensor) -> Tensor:
    """The lines of a patch, and a margin of what lies before and after it."""
    return torch.arange(lines.start - MARGIN, lines.stop + MARGIN, device=like.device)


def _corners(start: Tensor, stride: int, generator: torch.Generator) -> Tensor:
    """(CANDIDATES, 3): of which chain, from which row and column on, at random places of the net's lattice."""
    chains, _, height, width = start.shape
    chain, row, column = (
        torch.randint(max(limit, 1), (CANDIDATES,), generator=generator, device=generator.device)
        for limit in (chains, height // stride, width // stride)
    )
    return torch.stack([chain, row * stride, column * stride], dim=1)


def _cut(chains: Tensor, corners: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Pixels of periodic chains (M, S, S, C), so far `down` and `across` from each of K corners -> (K, ..., C)."""
    _, height, width, _ = chains.shape
    chain, row, column = (corner.view(-1, *[1] * down.ndim) for corner in corners.unbind(1))
    return chains[chain, (row + down) % height, (column + across) % width]
