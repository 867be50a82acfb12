"""New pictures from a finished model: eq. 19 on a torus of any size, or at the size that an object was learned at."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from core.engine import Engine
from core.engine.dynamics import Dynamics
from core.engine.tiling import map_tiles, needs_tiles, run_in_tiles
from core.pictures.images import Levels, to_pixels
from core.pictures.sums import means
from core.recipe.denoising import denoise
from core.recipe.tone import Tone
from core.schemas.geometry import Boundary, round_up
from core.synthesis.conditions import Condition, run_under_conditions
from core.theory.model import GenerativeConvNet

PATCHES_PER_SIDE = 2  # of a chain: patches are half as wide as the chains
CANDIDATES = 48  # random patches; the best fitting one is laid
MARGIN = 6  # pixels around a patch that are compared with what is already laid


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
    begin: Tensor | None = None,
    conditions: Sequence[Condition] = (),
) -> Tensor:
    """Return `count` pictures after `steps` Langevin steps -> (count, C, H', W').

    dynamics: as the net was learned. start: synthesized pictures of the same net (M, C, S, S), where chains begin.
    On the torus each chain begins as a `patchwork` of them; H' and W' are `height` and `width` rounded up to multiples
    of the net's stride, and every picture is periodic. On other boundaries chains begin as the pictures of `start` in
    turn, because the net may depend on the position within an object.
    begin (count, C, H', W'): where the chains begin instead. conditions: what each step respects. With either of them
    the chains stay in their place (see `run_under_conditions`).
    `after_step(steps done)` is called after each step, with 0 after each row of the patchwork, and with fractions of a
    step for pictures that are computed in tiles; an exception it raises ends the run.
    Raises ValueError if (height, width) is not the size of `start`, except on the torus.
    """
    conditioned = begin is not None or bool(conditions)
    if dynamics.boundary == "torus":
        stride = net.architecture.total_stride
        sides = (round_up(height, stride), round_up(width, stride))
        after_row = partial(after_step, 0.0) if after_step else None
        patches = (patchwork(start, *sides, stride, generator, after_row) for _ in range(count))
        chains = torch.cat(list(patches)) if begin is None else begin
        if not conditioned and needs_tiles(net.architecture, chains):
            return run_in_tiles(engine, net, chains, steps, dynamics, generator, after_step)
    else:
        if start.shape[2:] != (height, width):
            raise ValueError(f"this net draws pictures of {tuple(start.shape[2:])}, not ({height}, {width})")
        chains = start[torch.arange(count, device=start.device) % len(start)] if begin is None else begin
    if conditioned:
        return run_under_conditions(engine, net, chains, steps, dynamics, generator, conditions, after_step)
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
    as_bytes: bool = True,
) -> Tensor:
    """Denoise chains (N, C, H, W), correct their tone and convert them to bytes of the same shape.

    as_bytes: if False, to grey levels (float32), neither rounded nor clamped.
    The tone keeps the mean of the chains rather than that of the denoised pictures, which differs by what the colour
    box cuts off. On the torus the work is done tile by tile, and `after_part(fraction done)` is called after each; an
    exception it raises ends the work.
    """
    mean = means(chains)

    def render_window(window: Tensor, boundary: Boundary) -> Tensor:
        denoised = denoise(net, window, noise_std, boundary, dynamics.random_lattice, engine.basis)
        toned = tone.apply(denoised, mean)
        return to_pixels(toned, levels) if as_bytes else levels.to_grey_levels(toned.cpu())

    if dynamics.boundary != "torus":
        return render_window(chains, dynamics.boundary)
    pixels = torch.empty(chains.shape, dtype=torch.uint8 if as_bytes else torch.float32)
    return map_tiles(
        net.architecture,
        chains,
        lambda window: render_window(window, "valid"),
        pixels,
        after_part,
        extra_reach=tone.reach,
    )


def patchwork(
    start: Tensor,
    height: int,
    width: int,
    stride: int,
    generator: torch.Generator,
    after_row: Callable[[], None] | None = None,
) -> Tensor:
    """Lay a periodic picture (1, C, height, width) with random patches of periodic chains `start` (M, C, S, S).

    For each place, CANDIDATES random patches are compared with what is already laid around it, and the one with the
    smallest squared difference is laid. Patches begin at multiples of the net's stride, anywhere on the chains. The
    picture is not a sample of the model along the seams; the Langevin dynamics repairs these seams in fewer steps than
    it needs to grow structure from noise.
    `after_row` is called after each row of patches; an exception it raises ends the work.
    """
    size = max(start.shape[-1] // PATCHES_PER_SIDE // stride, 1) * stride
    chains = start.movedim(1, -1).contiguous()
    picture = start.new_zeros(height, width, start.shape[1])
    is_laid = torch.zeros(height, width, dtype=torch.bool, device=start.device)
    for top in range(0, height, size):
        for left in range(0, width, size):
            rows, columns = range(top, min(top + size, height)), range(left, min(left + size, width))
            corners = _random_corners(start, stride, generator)
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


def _random_corners(start: Tensor, stride: int, generator: torch.Generator) -> Tensor:
    """Draw the chain, first row and first column of each candidate, at multiples of `stride` -> (CANDIDATES, 3)."""
    chains, _, height, width = start.shape
    chain, row, column = (
        torch.randint(max(limit, 1), (CANDIDATES,), generator=generator, device=generator.device)
        for limit in (chains, height // stride, width // stride)
    )
    return torch.stack([chain, row * stride, column * stride], dim=1)


def _cut(chains: Tensor, corners: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Return pixels of periodic chains (M, S, S, C) at offsets `down`, `across` from K corners -> (K, ..., C)."""
    _, height, width, _ = chains.shape
    chain, row, column = (corner.view(-1, *[1] * down.ndim) for corner in corners.unbind(1))
    return chains[chain, (row + down) % height, (column + across) % width]
