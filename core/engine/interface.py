"""What learning and sampling compute with a net, as a protocol that each engine implements."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.engine.dynamics import Dynamics
from core.schemas.geometry import Boundary
from core.theory.model import GenerativeConvNet

Watch = Callable[[int, Callable[[], Tensor]], None]
"""Called after a Langevin step: (steps done, look). `look()` returns the chains (N, C, H, W) with every pixel where it
began, whatever `random_lattice` does. They are to be read during the call only."""


def looking_at(chains: Tensor) -> Callable[[], Tensor]:
    """Return the `look` of `Watch` for chains that have not moved."""
    return lambda: chains


@dataclass(frozen=True)
class ScoreGradient:
    """Mean of f over N pictures, per position of the top map, and its gradient with respect to the weights (eq. 21).

    parameters: one tensor for each of `net.parameters()`, in their order, shapes and dtype.
    active_share: for each layer the share of its units that are active, 0 to 1.
    """

    score: float
    parameters: tuple[Tensor, ...]
    active_share: tuple[float, ...]


@dataclass(frozen=True)
class Batch:
    """Pictures (N, C, H, W) that a gradient is the mean over; counted: see `Engine.gradient`."""

    images: Tensor
    boundary: Boundary
    counted: Tensor | None = None


class PreparedNet(Protocol):
    """A net made ready for many passes with its present weights. Pictures are those of `Engine`."""

    @property
    def net(self) -> GenerativeConvNet:
        """The net that was prepared."""

    def basis(self, images: Tensor, boundary: Boundary, phase: tuple[int, int] = (0, 0)) -> Tensor:
        """Return B = ∂f/∂I (eq. 16), (N, C, H, W).

        phase: the strides lie as on the pictures rolled by so many pixels down and to the right.
        """

    def step(self, images: Tensor, dynamics: Dynamics, generator: torch.Generator) -> Tensor:
        """Return N chains after one Langevin step (eq. 19), with every pixel where it was: the strides move instead."""


class Engine(Protocol):
    """Computes with pictures (N, C, H, W) in grey levels about their mean, on the net's device.

    Engines differ in rounding and in which random numbers they draw, not in what they compute.
    """

    @property
    def precision(self) -> str:
        """Arithmetic of the convolutions: bfloat16, or float32 (float64 for pictures in float64)."""

    def prepare(self, net: GenerativeConvNet) -> PreparedNet:
        """Prepare a net for many passes. It must not learn until the last of them."""

    def basis(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> Tensor:
        """Return B = ∂f/∂I (eq. 16), (N, C, H, W)."""

    def run(
        self,
        net: GenerativeConvNet,
        images: Tensor,
        steps: int,
        dynamics: Dynamics,
        generator: torch.Generator,
        after_step: Callable[[float], None] | None = None,
        *,
        watch: Watch | None = None,
    ) -> Tensor:
        """Return N chains after `steps` Langevin steps (eq. 19); see `core.engine.reference.run_chains`.

        Several steps may be done before `watch` is called again.
        """

    def gradient(
        self, net: GenerativeConvNet, images: Tensor, boundary: Boundary, counted: Tensor | None = None
    ) -> ScoreGradient:
        """Return ∂f/∂w, the mean over the pictures, per position of the top map.

        counted: bool (N, 1, H_L, W_L). f is then the sum over these positions alone, B^(L) is zero at all others, and
        the mean is over the positions that count, at least one. active_share is of all units even so.
        """

    def gradients(self, net: GenerativeConvNet, *batches: Batch) -> list[ScoreGradient]:
        """Return the gradient of each batch, computed side by side where that is faster."""
