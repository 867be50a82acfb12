"""What learning and sampling ask of a net, however it is computed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.engine.dynamics import Dynamics
from core.schemas.geometry import Boundary
from core.theory.model import GenerativeConvNet


@dataclass(frozen=True)
class ScoreGradient:
    """f's mean over N pictures, per position of the top map, and its derivative by the weights (eq. 21).

    parameters: one tensor for each of `net.parameters()`, in their order and shapes, float32 or as the net is.
    active_share: of each layer's units, in 0..1.
    """

    score: float
    parameters: tuple[Tensor, ...]
    active_share: tuple[float, ...]


class Engine(Protocol):
    """Pictures are (N, C, H, W) in grey levels about their mean, on the net's device.

    Engines differ in rounding and in which random numbers they take, never in what they compute.
    """

    @property
    def precision(self) -> str:
        """Of the arithmetic: float32 (float64 for pictures that are) or bfloat16."""

    def basis(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> Tensor:
        """B = ∂f/∂I (eq. 16), (N, C, H, W)."""

    def run(
        self,
        net: GenerativeConvNet,
        images: Tensor,
        steps: int,
        dynamics: Dynamics,
        generator: torch.Generator,
        after_step: Callable[[float], None] | None = None,
    ) -> Tensor:
        """`steps` Langevin steps of N chains (eq. 19); see `core.engine.reference.run_chains`."""

    def gradient(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> ScoreGradient:
        """∂f/∂w, the mean over the pictures, per position of the top map."""
