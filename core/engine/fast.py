"""The fast engine: space to depth, channels innermost, an explicit top-down pass, bfloat16 on request.

core/engine/README.md explains each technique and why it is exact.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from core.engine.blocked import BlockedNet
from core.engine.dynamics import Dynamics
from core.engine.interface import Batch, ScoreGradient, Watch
from core.engine.layout import Layout, box_for_blocks, project_blocks_, roll_into
from core.engine.noise import Noise, Share, noise_of_share, noise_per_picture
from core.engine.parallel import parallel_map, serial_if_small
from core.engine.precision import reproducible_cudnn
from core.schemas.geometry import Boundary
from core.theory.langevin import langevin_coefficients
from core.theory.model import GenerativeConvNet

if TYPE_CHECKING:
    from core.engine.captured import CapturedRunner

log = logging.getLogger(__name__)

MAX_PACKED = 64  # copies of a net's weights in oneDNN's order, for as many sizes of pictures
CUDA_CHANNEL_ALIGNMENT = 8  # channels that a GPU's matrix units take at once


class FastEngine:
    """Convolutions in `dtype`, by default the pictures' own; chains, noise and sums in the pictures' own."""

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        self._dtype = dtype
        self._cached_runner: CapturedRunner | None = None

    @classmethod
    def of(cls, precision: Literal["bfloat16", "float32"]) -> "FastEngine":
        """Return the engine whose convolutions have this precision."""
        return cls(torch.bfloat16 if precision == "bfloat16" else None)

    @property
    def precision(self) -> Literal["bfloat16", "float32"]:
        """The arithmetic of the convolutions; see `Engine.precision`."""
        return "bfloat16" if self._dtype is torch.bfloat16 else "float32"

    def prepare(self, net: GenerativeConvNet) -> "FastPreparedNet":
        """Lay out the weights once for many passes; see `Engine.prepare`."""
        return FastPreparedNet(self, net)

    def basis(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> Tensor:
        """Return B of pictures, (N, C, H, W); see `Engine.basis`."""
        return FastPreparedNet(self, net, packs=False).basis(images, boundary)

    @reproducible_cudnn()
    @torch.no_grad()
    def run(
        self,
        net: GenerativeConvNet,
        images: Tensor,
        steps: int,
        dynamics: Dynamics,
        generator: torch.Generator,
        after_step: Callable[[float], None] | None = None,
        share: Share | None = None,
        *,
        watch: Watch | None = None,
    ) -> Tensor:
        """Run chains as `Engine.run` says. share: the part of all chains that `images` are; they get its noise."""
        layout, blocked = _layout(net, images, dynamics.boundary), self.blocked(net, images)
        if _is_captured(images):
            return self.captured_runner.run(
                blocked, layout, images, steps, dynamics, generator, after_step, share, watch
            )
        starts = blocked.chunks(images, layout)
        blocked = blocked.with_packed_weights(layout, len(starts[0])) if steps > 1 else blocked
        noise = iter(noise_of_share(generator, share) if share else noise_per_picture(generator, len(images)))
        noises = [list(islice(noise, len(start))) for start in starts]
        with serial_if_small(images):
            chunks = parallel_map(partial(_ChainChunk, blocked, layout, dynamics), starts, noises)

        def chains(phase: tuple[int, int] = (0, 0)) -> Tensor:
            """Return the chains, rolled by a phase."""
            found = torch.empty_like(images, memory_format=torch.contiguous_format)
            with serial_if_small(images):
                parallel_map(lambda chunk, into: chunk.write_to(into, phase), chunks, blocked.chunks(found, layout))
            return found

        moved = (0, 0)
        for step in range(1, steps + 1):
            phase = dynamics.draw_phase(net.architecture.total_stride, generator)
            parallel_map(lambda chunk, phase=phase: chunk.step(phase), chunks)
            moved = moved[0] + phase[0], moved[1] + phase[1]
            if after_step is not None:
                after_step(step)
            if watch is not None:
                watch(step, partial(chains, _back(moved)))
        return chains()

    def gradient(
        self, net: GenerativeConvNet, images: Tensor, boundary: Boundary, counted: Tensor | None = None
    ) -> ScoreGradient:
        """Return ∂f/∂w of pictures (N, C, H, W); see `Engine.gradient`."""
        return self.gradients(net, Batch(images, boundary, counted))[0]

    @reproducible_cudnn()
    @torch.no_grad()
    def gradients(self, net: GenerativeConvNet, *batches: Batch) -> list[ScoreGradient]:
        """Return the gradient of each batch; see `Engine.gradients`."""
        layouts = [_layout(net, batch.images, batch.boundary) for batch in batches]
        with serial_if_small(batches[0].images):
            in_blocks = [
                (layout.to_blocks(batch.images), layout, batch.counted)
                for batch, layout in zip(batches, layouts, strict=True)
            ]
        return self.blocked(net, batches[0].images).gradients(in_blocks)

    @property
    def captured_runner(self) -> "CapturedRunner":
        """The runner of CUDA graphs, imported at the first use: without a GPU Triton may not be installed."""
        if self._cached_runner is None:
            from core.engine.captured import CapturedRunner

            self._cached_runner = CapturedRunner()
        return self._cached_runner

    def blocked(self, net: GenerativeConvNet, images: Tensor) -> BlockedNet:
        """Return the net in this engine's arithmetic, on the device of pictures (N, C, H, W)."""
        with serial_if_small(images):
            return BlockedNet.of(net, self._dtype or images.dtype, CUDA_CHANNEL_ALIGNMENT if images.is_cuda else 1)


class FastPreparedNet:
    """A net whose weights are laid out once, and reordered once for pictures of a size; see `PreparedNet`.

    packs: reorder them, which costs more than it saves in a single pass. The orders of MAX_PACKED sizes are kept: the
    windows of a canvas in tiles have up to (2 x stride)² sizes.
    """

    def __init__(self, engine: FastEngine, net: GenerativeConvNet, packs: bool = True) -> None:
        self.net, self._engine, self._packs = net, engine, packs
        self._blocked: dict[torch.dtype, BlockedNet] = {}
        self._packed: dict[tuple[Layout, torch.Size, torch.dtype], BlockedNet] = {}

    @reproducible_cudnn()
    @torch.no_grad()
    def basis(self, images: Tensor, boundary: Boundary, phase: tuple[int, int] = (0, 0)) -> Tensor:
        """Return B of pictures, (N, C, H, W); see `PreparedNet.basis`."""
        layout = _layout(self.net, images, boundary)
        basis = self._for(layout, images).basis(layout.to_blocks(images, phase), layout)
        found = layout.from_blocks(basis.to(images.dtype))
        return roll_into(torch.empty_like(found), found, _back(phase)) if any(phase) else found

    @reproducible_cudnn()
    @torch.no_grad()
    def step(self, images: Tensor, dynamics: Dynamics, generator: torch.Generator) -> Tensor:
        """Return N chains, (N, C, H, W), after a step; see `PreparedNet.step`."""
        layout = _layout(self.net, images, dynamics.boundary)
        blocked, still = self._for(layout, images), replace(dynamics, random_lattice=False)
        phase = dynamics.draw_phase(self.net.architecture.total_stride, generator)
        if _is_captured(images):
            rolled = images.roll(phase, (2, 3))
            return self._engine.captured_runner.run(blocked, layout, rolled, 1, still, generator).roll(
                _back(phase), (2, 3)
            )
        starts, noise = blocked.chunks(images, layout), iter(noise_per_picture(generator, len(images)))
        noises = [list(islice(noise, len(start))) for start in starts]
        moved = torch.empty_like(images, memory_format=torch.contiguous_format)

        def move(start: Tensor, noise: Sequence[Noise], into: Tensor) -> None:
            with serial_if_small(start):
                chunk = _ChainChunk(blocked, layout, still, start, noise, phase)
            chunk.step()
            with serial_if_small(start):
                chunk.write_to(into, _back(phase))

        parallel_map(move, starts, noises, blocked.chunks(moved, layout))
        return moved

    def _for(self, layout: Layout, images: Tensor) -> BlockedNet:
        """Return the net for pictures (N, C, H, W) of this layout."""
        if images.dtype not in self._blocked:
            self._blocked[images.dtype] = self._engine.blocked(self.net, images)
        blocked, key = self._blocked[images.dtype], (layout, images.shape, images.dtype)
        if not self._packs:
            return blocked
        if key not in self._packed:
            if len(self._packed) == MAX_PACKED:
                self._packed.clear()
            self._packed[key] = blocked.with_packed_weights(layout, len(blocked.chunks(images, layout)[0]))
        return self._packed[key]


class _ChainChunk:
    """A chunk of chains in blocks, moved by I <- (1 - ε²/2σ²) I + ε²/2 B + ε Z (eq. 19) and projected into the box."""

    def __init__(
        self,
        net: BlockedNet,
        layout: Layout,
        dynamics: Dynamics,
        images: Tensor,
        noise: Sequence[Noise],
        phase: tuple[int, int] = (0, 0),
    ) -> None:
        self.blocks = blocks = layout.to_blocks(images, phase)
        self._net, self._layout, self._noise = net, layout, noise
        self._coefficients = langevin_coefficients(dynamics.step_size, net.net.architecture.reference_std)
        self._next, self._mask = torch.empty_like(blocks), layout.mask(blocks)
        self._box = None if dynamics.box is None else box_for_blocks(dynamics.box.to(blocks), layout.stride)

    def step(self, phase: tuple[int, int] = (0, 0)) -> None:
        """Roll the chains by `phase` (down, right) and take one Langevin step."""
        with serial_if_small(self.blocks):
            self._roll(phase)
        basis = self._net.chunk_basis(self.blocks, self._layout)
        with serial_if_small(self.blocks):
            self._add(basis)

    def _roll(self, phase: tuple[int, int]) -> None:
        if phase != (0, 0):
            self.blocks = self._layout.to_blocks(self._layout.from_blocks(self.blocks), phase)

    def _add(self, basis: Tensor) -> None:
        """Finish the step with B."""
        for picture, noise in zip(self._next, self._noise, strict=True):
            noise.fill(picture.permute(1, 2, 0).flatten(), self._coefficients.noise)  # a view: channels are innermost
        self._next.add_(self.blocks, alpha=self._coefficients.image).add_(basis, alpha=self._coefficients.basis)
        self.blocks, self._next = self._next, self.blocks
        if self._box is not None:
            project_blocks_(self.blocks, self._box)
        if self._mask is not None:
            self.blocks.mul_(self._mask)

    def write_to(self, images: Tensor, phase: tuple[int, int] = (0, 0)) -> None:
        """Copy the chains into `images` (n, C, H, W), rolled by `phase`."""
        roll_into(images, self._layout.from_blocks(self.blocks), phase)


def _is_captured(images: Tensor) -> bool:
    """Return True if pictures (N, C, H, W) move by CUDA graphs."""
    return images.dtype == torch.float32 and can_capture_graphs(images.device)


@functools.cache
def can_capture_graphs(device: torch.device) -> bool:
    """Return True if steps can be captured as CUDA graphs: on a GPU for which Triton can compile the kernel.

    Triton needs a C compiler. Without it the steps run one by one, slower but with the same results.
    """
    if device.type != "cuda":
        return False
    try:
        from core.engine.kernel import check_kernel

        check_kernel(device)
    except Exception as error:  # compilers and drivers raise exceptions of any type
        log.warning("no CUDA graphs, steps run one by one: %s: %s", type(error).__name__, error)
        return False
    return True


def _back(phase: tuple[int, int]) -> tuple[int, int]:
    return -phase[0], -phase[1]


def _layout(net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> Layout:
    net.check(images, boundary)
    return Layout.of(net.architecture, (images.shape[2], images.shape[3]), boundary)
