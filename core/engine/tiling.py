"""Pictures too large for one step (canvases), computed tile by tile with the same result.

B at a pixel depends on the filters that see it, and these on pixels less than a receptive field away. A tile and the
pixels around it up to that distance, taken as a picture of its own on the plane, therefore give the tile's B exactly.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.dynamics import Dynamics
from core.engine.interface import Engine, PreparedNet, Watch, looking_at
from core.engine.noise import Noise
from core.pictures.colour_box import ColourBox
from core.schemas.geometry import round_up
from core.theory.langevin import langevin_coefficients
from core.theory.model import Architecture, GenerativeConvNet

# Bytes of all layers' maps; a step takes about three times as much memory.
MAX_UNTILED_BYTES = {"cpu": 96 << 20, "cuda": 2 << 30}  # of a picture that is computed as a whole
TILE_BYTES = {"cpu": 32 << 20, "cuda": 1 << 30}  # of a tile and the pixels around it
PROJECTED_ROWS = 512  # of a canvas that are projected into the colour box at once


@dataclass(frozen=True)
class Tile:
    """A rectangle of a periodic canvas and the window around it. All slices and indices count pixels.

    rows, columns: of the tile on the canvas. window_rows, window_columns: indices of the window's lines on the canvas.
    inside: rows and columns of the tile within its window.
    """

    rows: slice
    columns: slice
    window_rows: Tensor
    window_columns: Tensor
    inside: tuple[slice, slice]

    def window(self, canvas: Tensor) -> Tensor:
        """Copy the window out of a canvas. (N, C, H, W) -> (N, C, h, w)."""
        return canvas[:, :, self.window_rows[:, None], self.window_columns]

    def of(self, canvas: Tensor) -> Tensor:
        """Return the tile's own pixels of a canvas (..., H, W), a view."""
        return canvas[..., self.rows, self.columns]

    def crop(self, window: Tensor) -> Tensor:
        """Return the tile's own pixels of its window (..., h, w), a view."""
        return window[(..., *self.inside)]


def needs_tiles(architecture: Architecture, canvas: Tensor) -> bool:
    """Return True if the net's maps of a picture (N, C, H, W) take too much memory to compute it as a whole."""
    height, width = canvas.shape[2:]
    return (
        architecture.map_values_per_pixel * height * width * canvas.element_size()
        > MAX_UNTILED_BYTES[canvas.device.type]
    )


def tile_side(architecture: Architecture, canvas: Tensor) -> int:
    """Return the side of a tile in pixels: what TILE_BYTES allow, but at least as much as lies around the tile."""
    pixels = TILE_BYTES[canvas.device.type] / (architecture.map_values_per_pixel * canvas.element_size())
    around = 2 * (architecture.receptive_field - 1)
    return max(math.isqrt(int(pixels)) - around, 2 * around, architecture.total_stride)


def tiles(
    architecture: Architecture,
    canvas: Tensor,
    side: int | None = None,
    phase: tuple[int, int] = (0, 0),
    extra_reach: int = 0,
) -> Iterator[Tile]:
    """Yield tiles of about `side` pixels (`tile_side` by default) that cover a periodic canvas (N, C, H, W) once.

    phase: the windows' strides lie as on the canvas rolled by so many pixels down and to the right.
    extra_reach: pixels by which the windows are wider than B needs.
    """
    stride, reach = architecture.total_stride, architecture.receptive_field - 1 + extra_reach
    before = round_up(reach, stride)  # so that a window begins at a multiple of the stride
    step = max((side or tile_side(architecture, canvas)) // stride, 1) * stride
    for top in range(0, canvas.shape[2], step):
        for left in range(0, canvas.shape[3], step):
            spans = [
                _span(first, min(first + step, whole), before + rolled, reach, whole, canvas.device)
                for first, whole, rolled in zip((top, left), canvas.shape[2:], phase, strict=True)
            ]
            (rows, window_rows, inside_rows), (columns, window_columns, inside_columns) = spans
            yield Tile(rows, columns, window_rows, window_columns, (inside_rows, inside_columns))


def run_in_tiles(
    engine: Engine,
    net: GenerativeConvNet,
    canvas: Tensor,
    steps: int,
    dynamics: Dynamics,
    generator: torch.Generator,
    after_part: Callable[[float], None] | None = None,
    side: int | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Return periodic pictures (N, C, H, W) after `steps` Langevin steps (eq. 19), computing B tile by tile.

    Overwrites `canvas`, and needs the memory of one more. With `random_lattice` the tiles move instead of the canvas.
    `after_part(steps done)` is called after each tile with a fractional number; an exception it raises ends the run.
    watch: see `Watch`.
    Raises ValueError if the canvas does not suit the net.
    """
    canvas, prepared = canvas.contiguous(), engine.prepare(net)
    next_canvas, noise = torch.empty_like(canvas), Noise(generator)
    for step in range(steps):
        in_step = None if after_part is None else lambda fraction, step=step: after_part(step + fraction)
        step_in_tiles(prepared, canvas, next_canvas, dynamics, noise, generator, in_step, side)
        canvas, next_canvas = next_canvas, canvas
        if watch is not None:
            watch(step + 1, looking_at(canvas))
    return canvas


def step_in_tiles(
    prepared: PreparedNet,
    canvas: Tensor,
    next_canvas: Tensor,
    dynamics: Dynamics,
    noise: Noise,
    generator: torch.Generator,
    after_part: Callable[[float], None] | None = None,
    side: int | None = None,
) -> None:
    """Fill `next_canvas`, contiguous, with periodic pictures `canvas` (N, C, H, W) after a step; see `run_in_tiles`.

    generator: draws the stride phase. `after_part(fraction of the step)` is called after each tile.
    """
    net = prepared.net
    net.check(canvas, "torus")
    coefficients = langevin_coefficients(dynamics.step_size, net.architecture.reference_std)
    phase = dynamics.draw_phase(net.architecture.total_stride, generator)
    noise.fill(next_canvas.view(-1), coefficients.noise)
    next_canvas.add_(canvas, alpha=coefficients.image)
    parts = list(tiles(net.architecture, canvas, side, phase))
    for done, tile in enumerate(parts, start=1):
        basis = prepared.basis(tile.window(canvas), "valid")
        tile.of(next_canvas).add_(tile.crop(basis), alpha=coefficients.basis)
        if after_part is not None:
            after_part(done / len(parts))
    if dynamics.box is not None:
        project_(next_canvas, dynamics.box)


def project_(canvas: Tensor, box: ColourBox) -> None:
    """Apply `ColourBox.project` to pictures (N, C, H, W) in place, some rows at a time: it takes memory."""
    for rows in torch.split(canvas, PROJECTED_ROWS, dim=2):
        rows.copy_(box.project(rows))


def map_tiles(
    architecture: Architecture,
    canvas: Tensor,
    function: Callable[[Tensor], Tensor],
    result: Tensor,
    after_part: Callable[[float], None] | None = None,
    side: int | None = None,
    extra_reach: int = 0,
) -> Tensor:
    """Fill `result` (N, C, H, W) with `function` of a canvas, computed window by window: (N, C, h, w) -> same shape.

    A pixel that `function` returns may depend on pixels up to a receptive field, a stride and `extra_reach` away.
    `after_part(fraction done)` is called after each tile; an exception it raises ends the work.
    """
    parts = list(tiles(architecture, canvas, side, extra_reach=architecture.total_stride + extra_reach))
    for done, tile in enumerate(parts, start=1):
        tile.of(result).copy_(tile.crop(function(tile.window(canvas))))
        if after_part is not None:
            after_part(done / len(parts))
    return result


def _span(
    first: int, end: int, before: int, after: int, whole: int, device: torch.device
) -> tuple[slice, Tensor, slice]:
    """Return three things for a tile's lines `first` to `end`.

    Their slice of the canvas, the lines of their window, and their slice of the window.
    """
    window = torch.arange(first - before, end + after, device=device) % whole
    return slice(first, end), window, slice(before, before + end - first)
