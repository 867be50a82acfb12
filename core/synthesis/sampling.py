"""New pictures from a finished model: eq. 19 on a torus of any size, or at the size that an object was learned at."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from core.engine import Engine
from core.engine.dynamics import Dynamics
from core.engine.interface import Watch
from core.engine.tiling import map_tiles, needs_tiles, run_in_tiles
from core.pictures.images import Levels, to_pixels
from core.pictures.patchwork import patchwork
from core.pictures.sums import means
from core.recipe.denoising import denoise
from core.recipe.stride_pattern import limit_stride_pattern_, pattern_limit
from core.recipe.tone import Tone
from core.schemas.geometry import Boundary, round_up
from core.synthesis.conditions import Condition, Guide, run_under_conditions
from core.theory.model import GenerativeConvNet


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
    layout_strength: float = 0.0,
    watch: Watch | None = None,
) -> Tensor:
    """Return `count` pictures after `steps` Langevin steps -> (count, C, H', W').

    dynamics: as the net was learned. start: synthesized pictures of the same net (M, C, S, S), where chains begin.
    On the torus each chain begins as a `patchwork` of them; H' and W' are `height` and `width` rounded up to multiples
    of the net's stride, and every picture is periodic. On other boundaries chains begin as the pictures of `start` in
    turn, because the net may depend on the position within an object.
    begin (count, C, H', W'): where the chains begin instead. conditions: what each step respects. layout_strength: each
    chain is guided so strongly by what it begins as (`Guide`): a net sees too little to keep what is wider than its
    window, and where it prefers light to dark, light would spread. With any of the three the chains stay in their place
    (see `run_under_conditions`).
    With `random_lattice` the pictures' `stride_pattern` is no stronger than that of `start`.
    `after_step(steps done)` is called after each step, with 0 after each row of the patchwork, and with fractions of a
    step for pictures that are computed in tiles; an exception it raises ends the run. watch: see `Watch`.
    Raises ValueError if (height, width) is not the size of `start`, except on the torus.
    """
    stride = net.architecture.total_stride
    if dynamics.boundary == "torus":
        sides = (round_up(height, stride), round_up(width, stride))
        after_row = partial(after_step, 0.0) if after_step else None
        patches = (patchwork(start, *sides, stride, generator, after_row) for _ in range(count))
        chains = torch.cat(list(patches)) if begin is None else begin
    else:
        if start.shape[2:] != (height, width):
            raise ValueError(f"this net draws pictures of {tuple(start.shape[2:])}, not ({height}, {width})")
        chains = start[torch.arange(count, device=start.device) % len(start)] if begin is None else begin
    if layout_strength:
        conditions = (*conditions, Guide.of(net.architecture, chains, layout_strength))
    if begin is not None or conditions:
        chains = run_under_conditions(engine, net, chains, steps, dynamics, generator, conditions, after_step, watch)
    elif dynamics.boundary == "torus" and needs_tiles(net.architecture, chains):
        chains = run_in_tiles(engine, net, chains, steps, dynamics, generator, after_step, watch=watch)
    else:
        chains = engine.run(net, chains, steps, dynamics, generator, after_step, watch=watch)
    if not dynamics.random_lattice:
        return chains
    return limit_stride_pattern_(chains, stride, pattern_limit(start, stride, chains[0, 0].numel()))


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
