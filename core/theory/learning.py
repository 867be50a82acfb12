"""Algorithm 1: learn by maximum likelihood, comparing observed with synthesized pictures (eq. 21-24).

`Algorithm1.iterate` is one turn of the loop, to be read beside the paper's lines 4 to 6. `learn` runs it from the first
layer to the last (sec. 7). What makes it robust and sharp on photographs is not here: core/recipe/ hands it in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.engine import Engine, ScoreGradient, choose_engine
from core.engine.dynamics import Dynamics
from core.pictures.training_set import TrainingSet
from core.schemas.geometry import chain_side
from core.schemas.learned import boundary_of_pictures
from core.schemas.learning import LearningParams, Precision
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet, add_layer


@dataclass
class LearningState:
    """What Algorithm 1 changes: the weights, the chains (M̃, C, H, W) in grey levels, the optimizer, the generator.

    stage: number of stages completed; a stage learns all layers at once, or grows one. iteration: within the stage.
    """

    net: GenerativeConvNet
    chains: Tensor
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    stage: int = 0
    iteration: int = 0

    def finish_iteration(self, chains: Tensor) -> None:
        """Keep the chains as one iteration left them, and count it."""
        self.chains = chains
        self.iteration += 1

    def finish_stage(self) -> None:
        self.stage += 1

    def begin_stage(self, net: GenerativeConvNet, optimizer: torch.optim.Optimizer) -> None:
        """Go on with a net that has one more layer."""
        self.net, self.optimizer, self.iteration = net, optimizer, 0


@dataclass(frozen=True)
class Comparison:
    """Line 5: H_obs and H_syn, the mean gradients ∂f/∂w on observed and on synthesized pictures (eq. 21)."""

    observed: ScoreGradient
    synthesized: ScoreGradient


class UpdateRule(Protocol):
    def apply(self, state: LearningState, comparison: Comparison) -> None:
        """Line 6: move the weights uphill on the log-likelihood, along H_obs - H_syn. Leave the chains alone."""


@dataclass(frozen=True)
class LearningProgress:
    """What one iteration did. `iteration` counts from 1 within `stage`, `stage` from 1 to `stages`."""

    stage: int
    stages: int
    iteration: int
    iterations: int
    learning_rate: float

    @property
    def step(self) -> int:
        """Iterations completed over all stages."""
        return (self.stage - 1) * self.iterations + self.iteration

    @property
    def fraction(self) -> float:
        return self.step / (self.stages * self.iterations)


class Algorithm1:
    """Algorithm 1 with its state between two iterations.

    observe: draws the observed pictures (M, C, H, W) of one iteration, in grey levels about their mean.
    check_interrupt: called after each Langevin step; an exception that it raises ends learning.
    """

    def __init__(
        self,
        params: LearningParams,
        state: LearningState,
        *,
        observe: Callable[[torch.Generator], Tensor],
        dynamics: Dynamics,
        update_rule: UpdateRule,
        engine: Engine,
        check_interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self.params, self.state, self.engine = params, state, engine
        self.observe, self.dynamics, self.update_rule = observe, dynamics, update_rule
        self.check_interrupt = check_interrupt

    def iterate(self) -> Comparison:
        """Run one iteration of Algorithm 1."""
        observed = self.observe(self.state.generator)
        chains = self.sample(observed)  # line 4
        comparison = self.compare(observed, chains)  # line 5
        self.update_rule.apply(self.state, comparison)  # line 6
        self.state.finish_iteration(chains)
        return comparison

    def sample(self, observed: Tensor) -> Tensor:
        """Line 4: L Langevin steps of each chain (eq. 19), (M̃, C, H, W).

        A chain continues where it was; in contrastive divergence it begins at an observed picture.
        """
        start = observed if self.params.contrastive else self.state.chains
        return self.engine.run(
            self.state.net,
            start,
            self.params.langevin_steps,
            self.dynamics,
            self.state.generator,
            lambda _: self.check_interrupt(),
        )

    def compare(self, observed: Tensor, synthesized: Tensor) -> Comparison:
        """Line 5: compute H_obs and H_syn (eq. 21). Both (N, C, H, W)."""
        net, boundary = self.state.net, self.params.boundary
        return Comparison(
            observed=self.engine.gradient(net, observed, boundary_of_pictures(boundary)),
            synthesized=self.engine.gradient(net, synthesized, boundary),
        )


class GradientAscent:
    """Line 6 alone. The step sizes η_t, which the paper leaves open, are the optimizer's."""

    def apply(self, state: LearningState, comparison: Comparison) -> None:
        set_gradients(state.net, comparison)
        state.optimizer.step()


def set_gradients(net: GenerativeConvNet, comparison: Comparison) -> None:
    """Set each parameter's `.grad` to H_syn - H_obs: optimizers descend, the log-likelihood ascends."""
    gradients = zip(comparison.observed.parameters, comparison.synthesized.parameters, strict=True)
    for parameter, (observed, synthesized) in zip(net.parameters(), gradients, strict=True):
        parameter.grad = synthesized - observed


def learn(
    images: Tensor | TrainingSet,
    params: LearningParams,
    *,
    state: LearningState | None = None,
    callback: Callable[[LearningProgress, LearningState], bool | None] | None = None,
) -> LearningState:
    """Run Algorithm 1 as the paper states it, from the beginning or from `state`, and return the final state.

    images (M, C, H, W) in grey levels about their mean. Weights start as N(0, 0.01²) and Adam takes the steps. It
    reads neither `bounded`, `random_lattice`, `picture_noise` nor `keep_nearest`: those are `core.recipe.learner`'s.
    `callback(progress, state)` is called after each iteration; learning stops if it returns True. Raises ValueError if
    params.seed is None.
    """
    pictures = images if isinstance(images, TrainingSet) else TrainingSet.of(images)
    architecture = architecture_of(params, pictures.channels)

    def adam(net: GenerativeConvNet) -> torch.optim.Optimizer:
        return torch.optim.Adam(net.parameters(), lr=params.learning_rate)

    if state is None:
        start = start_learning(pictures, params)
        state = LearningState(start.net, start.chains, adam(start.net), start.generator)
    algorithm = Algorithm1(
        params,
        state,
        observe=lambda generator: draw_observed(pictures, params, generator),
        dynamics=Dynamics(params.step_size, params.boundary),
        update_rule=GradientAscent(),
        engine=choose_engine(precision_of(params), pictures.device),
    )
    while state.stage < params.stages:
        while state.iteration < params.iterations:
            algorithm.iterate()
            progress = LearningProgress(
                state.stage + 1, params.stages, state.iteration, params.iterations, params.learning_rate
            )
            if callback is not None and callback(progress, state):
                return state
        grow(state, params, architecture, adam)
    return state


@dataclass(frozen=True)
class Start:
    """Lines 1 and 2: the initial weights and chains (M̃, C, S, S), and the generator that learning goes on with."""

    net: GenerativeConvNet
    chains: Tensor
    generator: torch.Generator


def start_learning(
    pictures: TrainingSet,
    params: LearningParams,
    initialize: Callable[[GenerativeConvNet, torch.Generator], None] | None = None,
) -> Start:
    """Create the first stage's net and its chains from params.seed. `initialize` may change the weights in place.

    Raises ValueError if params.seed is None.
    """
    if params.seed is None:
        raise ValueError("seed must be set: the same seed gives the same pictures")
    architecture = architecture_of(params, pictures.channels)
    weights_generator = torch.Generator().manual_seed(params.seed)  # on the CPU: the same weights on every device
    net = GenerativeConvNet(architecture_at(params, architecture, stage=0), weights_generator)
    if initialize is not None:
        initialize(net, weights_generator)
    net.to(pictures.device)
    chain_seed = int(torch.randint(2**63 - 1, (), generator=weights_generator))
    generator = torch.Generator(pictures.device).manual_seed(chain_seed)
    return Start(net, first_chains(pictures, params, architecture, generator), generator)


def first_chains(
    pictures: TrainingSet, params: LearningParams, architecture: Architecture, generator: torch.Generator
) -> Tensor:
    """Line 2: initialize M̃ chains (M̃, C, S, S). On the torus S is rounded up to a multiple of the net's stride."""
    size = chain_side(architecture.layers, params.side, params.boundary)
    shape = (params.num_chains, architecture.channels, size, size)
    if params.initialization == "noise":
        return params.reference_std * torch.randn(shape, generator=generator, device=pictures.device)
    chains = torch.zeros(shape, device=pictures.device)
    if params.initialization == "data":
        drawn = (
            pictures.read([index % pictures.count for index in range(params.num_chains)])
            if params.patch_size is None
            else pictures.draw_patches(params.patch_size, params.num_chains, generator)
        )
        chains[..., : drawn.shape[2], : drawn.shape[3]] = drawn
    return chains


def draw_observed(pictures: TrainingSet, params: LearningParams, generator: torch.Generator) -> Tensor:
    """Draw the observed pictures of one iteration, or patches of them (M, C, S, S), in grey levels about their mean."""
    if params.patch_size is None:
        return pictures.draw(params.batch_size, generator)
    return pictures.draw_patches(params.patch_size, params.batch_size, generator)


def grow(
    state: LearningState,
    params: LearningParams,
    architecture: Architecture,
    make_optimizer: Callable[[GenerativeConvNet], torch.optim.Optimizer],
) -> None:
    """Finish a stage; if another follows, add its layer on top of the net (sec. 7)."""
    state.finish_stage()
    if state.stage < params.stages:
        shape = architecture_at(params, architecture, state.stage)
        net = add_layer(state.net, shape.layers[-1], state.generator, boundary=params.boundary, top_size=shape.top_size)
        state.begin_stage(net, make_optimizer(net))


def architecture_of(params: LearningParams, channels: int) -> Architecture:
    """Return the complete net that `params` describe, for pictures of `channels` channels."""
    layers = tuple(ConvLayer(layer.filters, layer.kernel_size, layer.stride) for layer in params.layers)
    return Architecture(layers, channels, params.reference_std, params.top).covering(params.side, params.boundary)


def architecture_at(params: LearningParams, whole: Architecture, stage: int) -> Architecture:
    """Return the net of one stage, counted from 0, while the layers are grown one by one (sec. 7)."""
    depth = min(stage, params.stages - 1) + 1 if params.layerwise else len(whole.layers)
    return whole.truncated(depth).covering(params.side, params.boundary)


def precision_of(params: LearningParams) -> Precision:
    """Return the precision of the engine: "auto" means float32 for contrastive divergence.

    Its update is the difference of two nearly equal gradients, which would be lost in bfloat16's rounding.
    """
    return "float32" if params.contrastive and params.precision == "auto" else params.precision
