"""The reference engine: the equations as core/theory/ writes them, and autograd. Fast engines are tested against it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from core.engine.dynamics import Dynamics, roll_to_random_phase
from core.engine.interface import Batch, ScoreGradient, Watch
from core.schemas.geometry import Boundary
from core.theory import decoding
from core.theory.langevin import langevin_step
from core.theory.model import GenerativeConvNet, positions


@dataclass(frozen=True)
class ReferencePreparedNet:
    """Each method is the plain equation on rolled pictures, rolled back."""

    net: GenerativeConvNet

    def basis(self, images: Tensor, boundary: Boundary, phase: tuple[int, int] = (0, 0)) -> Tensor:
        """Return B of pictures, (N, C, H, W); see `PreparedNet.basis`."""
        return _roll_back(decoding.basis(self.net, images.roll(phase, (2, 3)), boundary), phase)

    def step(self, images: Tensor, dynamics: Dynamics, generator: torch.Generator) -> Tensor:
        """Return N chains, (N, C, H, W), after a step; see `PreparedNet.step`."""
        phase = dynamics.draw_phase(self.net.architecture.total_stride, generator)
        still = replace(dynamics, random_lattice=False)
        return _roll_back(run_chains(self.net, images.roll(phase, (2, 3)), 1, still, generator), phase)


class ReferenceEngine:
    """Each method is the plain equation, computed in the pictures' own dtype."""

    precision = "float32"

    def prepare(self, net: GenerativeConvNet) -> ReferencePreparedNet:
        """Wrap the net; nothing is prepared. See `Engine.prepare`."""
        return ReferencePreparedNet(net)

    def basis(self, net: GenerativeConvNet, images: Tensor, boundary: Boundary) -> Tensor:
        """Return B of pictures, (N, C, H, W); see `Engine.basis`."""
        return decoding.basis(net, images, boundary)

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
        """Return N moved chains, (N, C, H, W); see `Engine.run`."""
        return run_chains(net, images, steps, dynamics, generator, after_step, watch)

    def gradient(
        self, net: GenerativeConvNet, images: Tensor, boundary: Boundary, counted: Tensor | None = None
    ) -> ScoreGradient:
        """Return ∂f/∂w of pictures (N, C, H, W); see `Engine.gradient`."""
        with torch.enable_grad():
            maps = net.feature_maps(images, boundary)
            if counted is None:
                score = net.scores_of(maps[-1]).mean() / positions(maps)
            else:
                score = net.scores_of(maps[-1] * counted).sum() / counted.sum()
            parameters = torch.autograd.grad(score, list(net.parameters()))
        active = tuple((layer > 0).double().mean().item() for layer in maps)
        return ScoreGradient(score.item(), parameters, active)

    def gradients(self, net: GenerativeConvNet, *batches: Batch) -> list[ScoreGradient]:
        """Return the gradient of each batch; see `Engine.gradients`."""
        return [self.gradient(net, batch.images, batch.boundary, batch.counted) for batch in batches]


def run_chains(
    net: GenerativeConvNet,
    images: Tensor,
    steps: int,
    dynamics: Dynamics,
    generator: torch.Generator | None = None,
    after_step: Callable[[float], None] | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Return N parallel chains after `steps` Langevin steps from `images` (N, C, H, W).

    `after_step(steps done)` is called after each step; an exception it raises ends the run. watch: called after that.
    """
    down = right = 0
    for step in range(1, steps + 1):
        if dynamics.random_lattice:
            images, phase = roll_to_random_phase(images, net.architecture.total_stride, generator)
            down, right = down + phase[0], right + phase[1]
        images = langevin_step(net, images, dynamics.step_size, generator, boundary=dynamics.boundary)
        if dynamics.box is not None:
            images = dynamics.box.project(images)
        if after_step is not None:
            after_step(step)
        if watch is not None:
            watch(step, partial(_roll_back, images, (down, right)))
    return images


def _roll_back(images: Tensor, phase: tuple[int, int]) -> Tensor:
    return images.roll((-phase[0], -phase[1]), (2, 3))
