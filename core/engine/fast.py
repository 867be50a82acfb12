"""The fast engine: space to depth, channels innermost, an explicit top-down pass, bfloat16 where it is fast.

core/engine/README.md says what each trick is and why it is exact.
"""

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.contracts.learning import Boundary
from core.engine.blocked import BlockedNet
from core.engine.interface import ScoreGradient
from core.engine.layout import Layout, hold_in_blocks_
from core.engine.noise import Noise
from core.langevin import Dynamics, lattice_shift
from core.model import GenerativeConvNet

if TYPE_CHECKING:
    from core.engine.captured import CapturedRuns

log = logging.getLogger(__name__)

LANES = 8  # channels that a GPU's matrix units take at once


class FastEngine:
    """Convolutions in `dtype`, by default the pictures' own; chains, noise and sums in the pictures' own."""

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        self._dtype = dtype
        self._captured = _captured_runs()

    @property
    def precision(self) -> str:
        return "bfloat16" if self._dtype is torch.bfloat16 else "float32"

    @torch.no_grad()
    def basis(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> Tensor:
        layout = _layout(net, images, boundary)
        pull = self._blocked(net, images).basis(layout.lay(images), layout)
        return layout.take_up(pull).to(images.dtype)

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
        if self._captured is not None and images.is_cuda and images.dtype == torch.float32:
            return self._captured.run(blocked, layout, images, steps, dynamics, generator, after_step)
        chains, noise = layout.lay(images), Noise(generator)
        if chains.data_ptr() == images.data_ptr():  # where to lay them out moves nothing, it copies nothing
            chains = chains.clone()
        advance = _Advance(net, layout, dynamics, chains)
        for step in range(1, steps + 1):
            if dynamics.random_lattice:
                shift = lattice_shift(net.architecture.total_stride, generator)
                chains = layout.lay(layout.take_up(chains).roll(shift, dims=(2, 3)))
            advance(chains, blocked.basis(chains, layout), noise)
            if after_step is not None:
                after_step(step)
        return layout.take_up(chains)

    @torch.no_grad()
    def gradient(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> ScoreGradient:
        layout = _layout(net, images, boundary)
        return self._blocked(net, images).gradient(layout.lay(images), layout)

    def _blocked(self, net: GenerativeConvNet, images: Tensor) -> BlockedNet:
        return BlockedNet.of(net, self._dtype or images.dtype, LANES if images.is_cuda else 1)


class _Advance:
    """The element-wise part of a step (eq. 19), in place: I <- (1 - ε²/2σ²) I + ε²/2 B + ε Z, kept within the box."""

    def __init__(self, net: GenerativeConvNet, layout: Layout, dynamics: Dynamics, like: Tensor) -> None:
        self._step_size = dynamics.step_size
        self._decay, self._half = dynamics.rates(net.architecture.reference_std)
        self._drawn, self._mask = torch.empty_like(like), layout.mask(like)
        self._box = None if dynamics.box is None else dynamics.box.to(like)
        self._channels = net.architecture.channels

    def __call__(self, chains: Tensor, pull: Tensor, noise: Noise) -> None:
        noise.fill(self._drawn.permute(0, 2, 3, 1).flatten())  # a view: channels are innermost
        chains.mul_(self._decay).add_(pull, alpha=self._half).add_(self._drawn, alpha=self._step_size)
        if self._box is not None:
            hold_in_blocks_(chains, self._box, self._channels)
        if self._mask is not None:
            chains.mul_(self._mask)


@functools.cache
def _kernels_compile() -> bool:
    """Whether the kernels of a GPU can be compiled here: Triton needs a C compiler. Slower without, and no worse."""
    try:
        from core.engine.kernel import try_out

        try_out(torch.device("cuda"))
    except Exception as error:  # what compilers and drivers raise is of any kind
        log.warning("no CUDA graphs, steps are done one by one: %s: %s", type(error).__name__, error)
        return False
    return True


def _captured_runs() -> "CapturedRuns | None":
    """Runs as CUDA graphs, where there is a GPU."""
    if not torch.cuda.is_available() or not _kernels_compile():
        return None
    from core.engine.captured import CapturedRuns

    return CapturedRuns()


def _layout(net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> Layout:
    net.check(images, boundary)
    return Layout.of(net.architecture, (images.shape[2], images.shape[3]), boundary)
