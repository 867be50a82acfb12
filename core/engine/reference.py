"""The reference engine: the equations as core/theory/ writes them, and autograd."""

from collections.abc import Callable

import torch
from torch import Tensor

from core.engine.interface import ScoreGradient
from core.schemas.learning import Boundary
from core.theory import decoding
from core.theory.langevin import Dynamics, run_chains
from core.theory.model import GenerativeConvNet, positions


class ReferenceEngine:
    """To measure the fast ones by."""

    precision = "float32"

    def basis(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> Tensor:
        return decoding.basis(net, images, boundary)

    def run(
        self,
        net: GenerativeConvNet,
        images: Tensor,
        steps: int,
        dynamics: Dynamics,
        generator: torch.Generator,
        after_step: Callable[[float], None] | None = None,
    ) -> Tensor:
        return run_chains(net, images, steps, dynamics, generator, after_step)

    def gradient(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> ScoreGradient:
        with torch.enable_grad():
            maps = net.feature_maps(images, boundary)
            score = net.scores_of(maps[-1]).mean() / positions(maps)
            parameters = torch.autograd.grad(score, list(net.parameters()))
        active = tuple((layer > 0).double().mean().item() for layer in maps)
        return ScoreGradient(score.item(), parameters, active)
