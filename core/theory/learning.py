"""Algorithm 1: learn by maximum likelihood from observed and synthesized pictures (eq. 21-24).

`Algorithm1.iterate` is lines 4 to 7 of the paper's loop. `learn` repeats it for each stage, from the first layer to the
last (sec. 7). What core/recipe/ adds for photographs is passed in as arguments: `observe`, `dynamics`, `update_rule`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.engine import Batch, Engine, ScoreGradient, choose_engine
from core.engine.dynamics import Dynamics
from core.pictures.known_pixels import filled, is_partial, seeing_units
from core.pictures.training_set import TrainingSet
from core.schemas.geometry import Boundary, chain_side
from core.schemas.learned import boundary_of_pictures
from core.schemas.learning import LearningParams, Precision
from core.theory.boundary import surround
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet, add_layer


class Optimizer(Protocol):
    """One of torch's optimizers, or another that moves parameters along their `.grad`."""

    def step(self) -> object:
        """Take a step."""


@dataclass
class LearningState:
    """What Algorithm 1 changes: the weights, the chains (M̃, C, H, W) in grey levels, the optimizer, the generator.

    stage: number of stages completed; a stage learns all layers at once, or grows one. iteration: within the stage.
    """

    net: GenerativeConvNet
    chains: Tensor
    optimizer: Optimizer
    generator: torch.Generator
    stage: int = 0
    iteration: int = 0

    def finish_iteration(self, chains: Tensor) -> None:
        """Keep the chains as one iteration left them, and count it."""
        self.chains = chains
        self.iteration += 1

    def finish_stage(self) -> None:
        """Count a completed stage."""
        self.stage += 1

    def begin_stage(self, net: GenerativeConvNet, optimizer: Optimizer, chains: Tensor | None = None) -> None:
        """Go on with a net that has one more layer, or with other chains."""
        self.net, self.optimizer, self.iteration = net, optimizer, 0
        self.chains = self.chains if chains is None else chains


@dataclass(frozen=True)
class LikelihoodGradient:
    """Line 5: H_obs and H_syn, the means of ∂f/∂w over the observed and over the synthesized pictures.

    H_obs - H_syn is the gradient of the log-likelihood (eq. 21).
    """

    observed: ScoreGradient
    synthesized: ScoreGradient


class UpdateRule(Protocol):
    """How line 6 moves the weights."""

    def apply(self, state: LearningState, gradient: LikelihoodGradient) -> None:
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
    """The loop of Algorithm 1, and its state between two iterations.

    observe: draws the observed pictures (M, C, H, W) of one iteration, in grey levels about their mean.
    dynamics: how the chains move. update_rule: line 6. engine: computes Langevin steps and gradients.
    check_interrupt: called after each Langevin step; an exception that it raises ends learning.
    after_sampling: applied to the chains after line 4.
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
        after_sampling: Callable[[Tensor], Tensor] = lambda chains: chains,
    ) -> None:
        self.params, self.state, self.engine = params, state, engine
        self.observe, self.dynamics, self.update_rule = observe, dynamics, update_rule
        self.check_interrupt, self.after_sampling = check_interrupt, after_sampling

    def iterate(self) -> LikelihoodGradient:
        """Run one iteration of Algorithm 1, and return H_obs and H_syn."""
        observed = self.observe(self.state.generator)
        # Line 4: L steps of Langevin dynamics (eq. 19), starting from the current chains Ĩ_m.
        chains = self.after_sampling(self.sample(observed))
        # Line 5: H_obs = Σ_m ∂f(I_m; w)/∂w / M and H_syn = Σ_m ∂f(Ĩ_m; w)/∂w / M̃.
        gradient = self.likelihood_gradient(observed, chains)
        # Line 6: w <- w + η (H_obs - H_syn).
        self.update_rule.apply(self.state, gradient)
        # Line 7: t <- t + 1.
        self.state.finish_iteration(chains)
        return gradient

    def sample(self, observed: Tensor) -> Tensor:
        """Line 4: return the chains (M̃, C, H, W) after L Langevin steps (eq. 19).

        They start from the current chains, in contrastive divergence from the observed pictures.
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

    def likelihood_gradient(self, observed: Tensor, synthesized: Tensor) -> LikelihoodGradient:
        """Line 5: return H_obs and H_syn (eq. 21). Both arguments are pictures (N, C, H, W).

        Pixels of `observed` that are NaN are not learned from: B^(L) is zero for the units whose windows touch them.
        Each side is a mean over its own units, of H_obs those that see known pixels alone. Both estimate the mean
        gradient of one unit, and weigh alike however small the part is: divided by all units, H_obs would be too small
        by the share of those that are left out, and learning would take it for pictures of weaker features.
        """
        net, boundary = self.state.net, self.params.boundary
        of_pictures = boundary_of_pictures(boundary)
        counted = observed_units(observed, net.architecture, of_pictures)
        known = observed if counted is None else observed.nan_to_num(0.0)
        of_both = self.engine.gradients(net, Batch(known, of_pictures, counted), Batch(synthesized, boundary))
        return LikelihoodGradient(*of_both)


def observed_units(images: Tensor, architecture: Architecture, boundary: Boundary) -> Tensor | None:
    """Return which positions of the top map see known pixels of images (N, C, H, W) alone: bool (N, 1, H_L, W_L).

    None if all pixels are known (not NaN). What the boundary adds to the pictures is known. Raises ValueError for
    objects, whose one unit sees the whole picture.
    """
    if not is_partial(images):
        return None
    if architecture.top == "object":
        raise ValueError("an object cannot be learned from parts of pictures: its one unit sees all of them")
    unknown = images[:, :1].isnan()
    extended = surround(unknown, architecture.halo) if boundary == "padded" else unknown
    return seeing_units(extended, architecture.receptive_field, architecture.total_stride)


class GradientAscent:
    """Line 6 as printed. The optimizer chooses the step size η."""

    def apply(self, state: LearningState, gradient: LikelihoodGradient) -> None:
        """Take one step of the optimizer along H_obs - H_syn."""
        set_gradients(state.net, gradient)
        state.optimizer.step()


def set_gradients(net: GenerativeConvNet, gradient: LikelihoodGradient) -> None:
    """Set each parameter's `.grad` to H_syn - H_obs, because optimizers descend and the log-likelihood must rise."""
    parts = zip(net.parameters(), gradient.observed.parameters, gradient.synthesized.parameters, strict=True)
    for parameter, observed, synthesized in parts:
        parameter.grad = synthesized - observed


def learn(
    images: Tensor | TrainingSet,
    params: LearningParams,
    *,
    state: LearningState | None = None,
    callback: Callable[[LearningProgress, LearningState], bool | None] | None = None,
) -> LearningState:
    """Run Algorithm 1 as the paper states it, from the beginning or from `state`, and return the final state.

    images (M, C, H, W) in grey levels about their mean. Weights start as N(0, 0.01²) and Adam takes the steps.
    `orientations`, `bounded`, `random_lattice`, `picture_noise`, `keep_nearest`, `optimizer`, `coarse_iterations` and
    `canvas_iterations` are ignored; `core.recipe.learner` implements them.
    `callback(progress, state)` is called after each iteration; learning stops if it returns True. Raises ValueError if
    params.seed is None.
    """
    pictures = images if isinstance(images, TrainingSet) else TrainingSet.of(images)
    params = params.of_stage(params.coarse_stages)  # of the layers
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
    """Lines 1 and 2: the initial weights and chains (M̃, C, S, S), and the generator for all later random numbers."""

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
    net = GenerativeConvNet(architecture_at(params, architecture.channels, stage=0), weights_generator)
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
        chains[..., : drawn.shape[2], : drawn.shape[3]] = filled(drawn)
    return chains


def draw_observed(
    pictures: TrainingSet, params: LearningParams, generator: torch.Generator, patch_size: int | None = None
) -> Tensor:
    """Draw the observed pictures of one iteration, or patches of them (M, C, S, S), in grey levels about their mean.

    patch_size: the side S of patches; that of `params` if None.
    """
    if params.patch_size is None:
        return pictures.draw(params.batch_size, generator)
    return pictures.draw_patches(patch_size or params.patch_size, params.batch_size, generator)


def grow(
    state: LearningState,
    params: LearningParams,
    architecture: Architecture,
    make_optimizer: Callable[[GenerativeConvNet], Optimizer],
) -> None:
    """Finish a stage; if another layer follows, add it on top of the net (sec. 7)."""
    state.finish_stage()
    if state.stage < params.coarse_stages + params.layer_stages:
        shape = architecture_at(params, architecture.channels, state.stage)
        net = add_layer(state.net, shape.layers[-1], state.generator, boundary=params.boundary, top_size=shape.top_size)
        state.begin_stage(net, make_optimizer(net))


def architecture_of(params: LearningParams, channels: int) -> Architecture:
    """Return the architecture of the complete net that `params` describe, for pictures of `channels` channels."""
    layers = tuple(ConvLayer(layer.filters, layer.kernel_size, layer.stride) for layer in params.layers)
    return Architecture(layers, channels, params.reference_std, params.top).with_top_size(params.side, params.boundary)


def architecture_at(params: LearningParams, channels: int, stage: int) -> Architecture:
    """Return the architecture of one stage, counted from 0, while the layers are grown one by one (sec. 7).

    The net of an object's coarse level has smaller filters, and its top filter covers smaller maps.
    """
    of_stage = params.of_stage(stage)
    whole = architecture_of(of_stage, channels)
    grown = params.layerwise and stage >= params.coarse_stages
    depth = min(stage - params.coarse_stages + 1, len(whole.layers)) if grown else len(whole.layers)
    return whole.truncated(depth).with_top_size(of_stage.side, params.boundary)


def precision_of(params: LearningParams) -> Precision:
    """Return the precision of the engine: "auto" means float32 for contrastive divergence.

    Its update is the difference of two nearly equal gradients, which would be lost in bfloat16's rounding.
    """
    return "float32" if params.contrastive and params.precision == "auto" else params.precision
