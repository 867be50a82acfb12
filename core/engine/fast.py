"""The fast engine: space to depth, channels innermost, an explicit top-down pass, bfloat16 where it is fast.

core/engine/README.md says what each trick is and why it is exact.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.backends import cudnn

from core.engine.blocked import BlockedNet
from core.engine.dynamics import Dynamics, random_phase
from core.engine.interface import ScoreGradient
from core.engine.layout import Layout, project_blocks_
from core.engine.noise import Noise, noise_per_picture
from core.engine.parallel import each
from core.schemas.geometry import Boundary
from core.theory.langevin import langevin_coefficients
from core.theory.model import GenerativeConvNet

if TYPE_CHECKING:
    from core.engine.captured import CapturedRunner

log = logging.getLogger(__name__)

# On a GPU float32 is float32, not TF32 of 10 bits; no kernel is chosen by the clock, or adds in an order that changes:
# a seed gives the same pictures each time. Of no consequence on a processor.
exactly = partial(cudnn.flags, enabled=True, benchmark=False, deterministic=True, allow_tf32=False)

LANES = 8  # channels that a GPU's matrix units take at once


class FastEngine:
    """Convolutions in `dtype`, by default the pictures' own; chains, noise and sums in the pictures' own."""

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        self._dtype = dtype
        self._captured: CapturedRunner | None = None

    @property
    def precision(self) -> str:
        return "bfloat16" if self._dtype is torch.bfloat16 else "float32"

    @exactly()
    @torch.no_grad()
    def basis(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> Tensor:
        layout = _layout(net, images, boundary)
        pull = self._blocked(net, images).basis(layout.to_blocks(images), layout)
        return layout.from_blocks(pull).to(images.dtype)

    @exactly()
    @torch.no_grad()
    def run(
        self,
        net: GenerativeConvNet,
        images: Tensor,
        steps: int,
        dynamics: Dynamics,
        generator: torch.Generator,
        after_step: Callable[[float], None] | None = None,
    ) -> Tensor:
        layout, blocked = _layout(net, images, dynamics.boundary), self._blocked(net, images)
        if images.dtype == torch.float32 and can_capture_graphs(images.device):
            return self._recorded.run(blocked, layout, images, steps, dynamics, generator, after_step)
        split = blocked.parts(images, layout)
        blocked = blocked.with_packed_weights(layout, len(split[0])) if steps > 1 else blocked
        noise = iter(noise_per_picture(generator, len(images)))
        noises = [list(islice(noise, len(part))) for part in split]
        parts = each(partial(_Chains, blocked, layout, dynamics), split, noises)
        for step in range(1, steps + 1):
            shift = random_phase(net.architecture.total_stride, generator) if dynamics.random_lattice else None
            each(lambda part, shift=shift: part.step(shift), parts)
            if after_step is not None:
                after_step(step)
        found = torch.empty_like(images, memory_format=torch.contiguous_format)
        each(_Chains.write_to, parts, blocked.parts(found, layout))
        return found

    @exactly()
    @torch.no_grad()
    def gradient(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> ScoreGradient:
        layout = _layout(net, images, boundary)
        return self._blocked(net, images).gradient(layout.to_blocks(images), layout)

    @property
    def _recorded(self) -> "CapturedRunner":
        """The engine's graphs, on a GPU alone: a processor's worker neither needs Triton nor wakes the card."""
        if self._captured is None:
            from core.engine.captured import CapturedRunner

            self._captured = CapturedRunner()
        return self._captured

    def _blocked(self, net: GenerativeConvNet, images: Tensor) -> BlockedNet:
        return BlockedNet.of(net, self._dtype or images.dtype, LANES if images.is_cuda else 1)


class _Chains:
    """A few chains in blocks, and what moves them (eq. 19): I <- (1 - ε²/2σ²) I + ε²/2 B + ε Z, kept within the box."""

    def __init__(
        self, net: BlockedNet, layout: Layout, dynamics: Dynamics, images: Tensor, noise: Sequence[Noise]
    ) -> None:
        blocks = layout.to_blocks(images)
        # Where to lay them out moves nothing, it copies nothing.
        self.blocks = blocks.clone() if blocks.data_ptr() == images.data_ptr() else blocks
        self._net, self._layout, self._noise = net, layout, noise
        self._coefficients = langevin_coefficients(dynamics.step_size, net.net.architecture.reference_std)
        self._ahead, self._mask = torch.empty_like(blocks), layout.mask(blocks)
        self._box = None if dynamics.box is None else dynamics.box.to(blocks)
        self._channels = net.net.architecture.channels

    def step(self, shift: tuple[int, int] | None) -> None:
        """On a lattice that is moved by `shift`, where there is one."""
        if shift is not None:
            moved = self._layout.from_blocks(self.blocks).roll(shift, dims=(2, 3))
            self.blocks.copy_(self._layout.to_blocks(moved))
        pull = self._net.basis_of_chunk(self.blocks, self._layout)
        for drawn, noise in zip(self._ahead, self._noise, strict=True):
            noise.fill(drawn.permute(1, 2, 0).flatten(), self._coefficients.noise)  # a view: channels are innermost
        self._ahead.add_(self.blocks, alpha=self._coefficients.image).add_(pull, alpha=self._coefficients.basis)
        self.blocks, self._ahead = self._ahead, self.blocks
        if self._box is not None:
            project_blocks_(self.blocks, self._box, self._channels)
        if self._mask is not None:
            self.blocks.mul_(self._mask)

    def write_to(self, images: Tensor) -> None:
        images.copy_(self._layout.from_blocks(self.blocks))


@functools.cache
def can_capture_graphs(device: torch.device) -> bool:
    """Whether steps are recorded as graphs: on a GPU, for whose kernels Triton needs a C compiler. Else they are done
    one by one, slower and no worse.
    """
    if device.type != "cuda":
        return False
    try:
        from core.engine.kernel import check_kernel

        check_kernel(device)
    except Exception as error:  # what compilers and drivers raise is of any kind
        log.warning("no CUDA graphs, steps are done one by one: %s: %s", type(error).__name__, error)
        return False
    return True


def _layout(net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> Layout:
    net.check(images, boundary)
    return Layout.of(net.architecture, (images.shape[2], images.shape[3]), boundary)
