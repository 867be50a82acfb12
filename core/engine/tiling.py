"""Pictures larger than a step can take at once: tile by tile, each with as much around it as its pixels depend on.

B at a pixel depends on the filters that see it, and these on pixels less than a receptive field away. A tile and a
halo of that width, taken as a picture of its own on the plane, therefore give the tile's B exactly.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.dynamics import Dynamics, random_phase
from core.engine.interface import Engine
from core.engine.noise import Noise
from core.schemas.geometry import round_up
from core.theory.langevin import langevin_coefficients
from core.theory.model import Architecture, GenerativeConvNet

# Of the maps in memory, of which a step holds about three times as much: of a picture that is taken at once, and of a
# tile with what lies around it.
WHOLE_BYTES = {"cpu": 96 << 20, "cuda": 2 << 30}
TILE_BYTES = {"cpu": 32 << 20, "cuda": 1 << 30}
ROWS = 512  # of a canvas that are held within limits at once


@dataclass(frozen=True)
class Tile:
    """A part of a canvas and the window around it. All slices and indices count pixels; the canvas is periodic."""

    rows: slice
    columns: slice
    window_rows: Tensor
    window_columns: Tensor
    inside: tuple[slice, slice]

    def window(self, canvas: Tensor) -> Tensor:
        """(N, C, H, W) -> what lies in the window, (N, C, h, w)."""
        return canvas[:, :, self.window_rows[:, None], self.window_columns]

    def of(self, whole: Tensor) -> Tensor:
        """(..., H, W) -> the tile's own pixels, a view."""
        return whole[..., self.rows, self.columns]

    def middle(self, window: Tensor) -> Tensor:
        """(..., h, w) -> the tile's own pixels out of the window's, a view."""
        return window[(..., *self.inside)]


def needs_tiles(architecture: Architecture, canvas: Tensor) -> bool:
    """Whether a picture (N, C, H, W) is better worked through by tiles: for how much its maps take, not its pixels."""
    height, width = canvas.shape[2:]
    return architecture.map_numbers * height * width * canvas.element_size() > WHOLE_BYTES[canvas.device.type]


def tile_side(architecture: Architecture, canvas: Tensor) -> int:
    """Pixels; where filters are many or see far, at least as many as make it worth while to look around them."""
    pixels = TILE_BYTES[canvas.device.type] / (architecture.map_numbers * canvas.element_size())
    around = 2 * (architecture.receptive_field - 1)
    return max(math.isqrt(int(pixels)) - around, 2 * around, architecture.total_stride)


def tiles(
    architecture: Architecture,
    canvas: Tensor,
    side: int | None = None,
    shift: tuple[int, int] = (0, 0),
    further: int = 0,
) -> Iterator[Tile]:
    """Tiles of about `side` pixels (`tile_side`) that cover a periodic canvas (N, C, H, W) once.

    `shift`: the lattice lies as on the canvas moved by so many pixels down and to the right. `further`: pixels by which
    the windows are wider than B asks for.
    """
    stride, reach = architecture.total_stride, architecture.receptive_field - 1 + further
    before = round_up(reach, stride)  # windows begin on the lattice
    step = max((side or tile_side(architecture, canvas)) // stride, 1) * stride
    for top in range(0, canvas.shape[2], step):
        for left in range(0, canvas.shape[3], step):
            spans = [
                _span(first, min(first + step, whole), before + moved, reach, whole, canvas.device)
                for first, whole, moved in zip((top, left), canvas.shape[2:], shift, strict=True)
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
) -> Tensor:
    """`steps` Langevin steps (eq. 19) of periodic pictures (N, C, H, W), as `Engine.run` takes, B found tile by tile.

    The memory of `canvas` is used up; one more canvas is all that is needed besides. `after_part(steps done)` is told
    of each tile, in fractions of a step; what it raises ends the run. ValueError where the sides do not suit the net.
    """
    net.check(canvas, "torus")
    canvas = canvas.contiguous()
    ahead, noise = torch.empty_like(canvas), Noise(generator)
    of_step = langevin_coefficients(dynamics.step_size, net.architecture.reference_std)
    for step in range(steps):
        shift = (0, 0)
        if dynamics.random_lattice:
            shift = random_phase(net.architecture.total_stride, generator)
        noise.fill(ahead.view(-1), of_step.noise)
        ahead.add_(canvas, alpha=of_step.image)
        parts = list(tiles(net.architecture, canvas, side, shift))
        for done, tile in enumerate(parts, start=1):
            pull = engine.basis(net, tile.window(canvas), "valid")
            tile.of(ahead).add_(tile.middle(pull), alpha=of_step.basis)
            if after_part is not None:
                after_part(step + done / len(parts))
        if dynamics.box is not None:
            for rows in torch.split(ahead, ROWS, dim=2):
                rows.copy_(dynamics.box.project(rows))
        canvas, ahead = ahead, canvas
    return canvas


def map_tiles(
    architecture: Architecture,
    canvas: Tensor,
    local: Callable[[Tensor], Tensor],
    made: Tensor,
    after_part: Callable[[float], None] | None = None,
    side: int | None = None,
) -> Tensor:
    """`made` (N, C, H, W), filled with what `local` makes of windows of a canvas: (N, C, h, w) -> the like.

    `local` may look as far around a pixel as B and the lattice's places reach. `after_part(share done)`.
    """
    parts = list(tiles(architecture, canvas, side, further=architecture.total_stride))
    for done, tile in enumerate(parts, start=1):
        tile.of(made).copy_(tile.middle(local(tile.window(canvas))))
        if after_part is not None:
            after_part(done / len(parts))
    return made


def _span(
    first: int, end: int, before: int, after: int, whole: int, device: torch.device
) -> tuple[slice, Tensor, slice]:
    """Lines `first` to `end` of a tile: where they lie, its window's lines, and where they lie in the window."""
    window = torch.arange(first - before, end + after, device=device) % whole
    return slice(first, end), window, slice(before, before + end - first)
