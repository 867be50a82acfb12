"""Algorithm 1: learning by maximum likelihood, which compares real with synthesized pictures (eq. 21-24).

The loop is `Learner.iterate`; one turn of it is `Learner.update`, to be read beside the paper's lines 4 to 6.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.engine import Engine, choose_engine
from core.engine.dynamics import Dynamics, random_phase
from core.pictures.colour_box import ColourBox
from core.pictures.quality import relative_grid_peak, sliced_wasserstein
from core.pictures.training_set import TrainingSet, cut_patches
from core.recipe.denoising import denoise
from core.recipe.diagnosis import Diagnosis, Health, diagnose, examine, is_steady, is_wide, remarks, rms
from core.recipe.scaling import Whitening, paces, scale_weights
from core.recipe.state import LearningState, fresh_optimizer
from core.recipe.tone import Tone
from core.schemas.geometry import Boundary, chain_side
from core.schemas.learned import boundary_of_pictures
from core.schemas.learning import LearningParams, Precision
from core.theory.model import Architecture, ConvLayer, GenerativeConvNet, add_layer

FINAL_LEARNING_RATE = 0.02  # of the stage's full one, reached at its end
COMPARED_SHARE = 0.9  # of a stage's iterations: before, weights move, and chains go astray once they are held
COMPARED_ITERATIONS = 4  # between two comparisons
COMPARED_DIRECTIONS = 64
TOLERATED_GRID = 1.8  # times the training pictures': where the net's stride shows more, a state counts as farther off
COMPARED_SEED = 1  # other directions than those that `core.pictures.quality` judges by in the end
EXAMPLE_PATCHES = 256  # cut out of them where patches are learned
EXAMPLES = 4  # training pictures that the first weights are scaled on
WARM_UP = 0.1  # of a stage's iterations: Adam's first steps move all weights alike, and large ones kill or explode
SNAPSHOT_ITERATIONS = 25  # between two copies of a good state
STRETCH = 0.05  # how far one iteration may stretch the score, in logarithms
RECOVERY_SCALE = 0.7  # of the learning rate, at each return to a good state
MAX_RECOVERIES = 6


class LearningDiverged(RuntimeError):
    """Learning died or exploded again and again, also with ever smaller learning rates."""


@dataclass(frozen=True)
class LearningProgress:
    """What one iteration did. `iteration` counts from 1 within `stage`, `stage` from 1 to `stages`."""

    stage: int
    stages: int
    iteration: int
    iterations: int
    learning_rate: float
    health: Health
    recoveries: int

    @property
    def step(self) -> int:
        """Iterations done over all stages."""
        return (self.stage - 1) * self.iterations + self.iteration

    @property
    def fraction(self) -> float:
        return self.step / (self.stages * self.iterations)


class Learner:
    """Algorithm 1 on pictures (M, C, H, W), in grey levels about their mean, with its state between iterations."""

    def __init__(
        self,
        images: Tensor | TrainingSet,
        params: LearningParams,
        state: LearningState | None = None,
        engine: Engine | None = None,
    ) -> None:
        if params.seed is None:
            raise ValueError("seed must be set: the same seed gives the same pictures")
        self.pictures = images if isinstance(images, TrainingSet) else TrainingSet.of(images)
        self.params = params
        self.engine = engine or choose_engine(precision_of(params), self.pictures.device)
        self.architecture = architecture_of(params, self.pictures.channels)
        self._examples = self.pictures.read(range(min(EXAMPLES, self.pictures.count))).cpu().float()
        if params.patch_size is not None:
            always_the_same = torch.Generator().manual_seed(0)
            self._examples = cut_patches(self._examples, params.patch_size, EXAMPLE_PATCHES, always_the_same)
        self._dynamics = dynamics_of(params, self.pictures.box)
        kernel_size = params.layers[0].kernel_size
        self._whitening = (
            Whitening()  # there chains do not flip, and it only slows
            if params.contrastive or params.top == "object"
            else Whitening.of(self._examples, kernel_size, params.reference_std)
        )
        whole = params.top == "convolutional" and params.patch_size is None
        self._is_texture = whole and not params.contrastive and not params.layerwise
        self.state = state if state is not None else self._begin(params.seed)
        if self.state.stage == params.stages and self.state.iteration < params.iterations:
            self.state.stage -= 1  # it had come to its end, and is now to go further
        nearest = self.state.nearest
        if nearest is not None and nearest.numbers["iteration"] < COMPARED_SHARE * params.iterations:
            self.state.nearest = None  # learning is to go further than when it was kept
        self.interrupt: Callable[[], None] = lambda: None

    def iterate(self) -> Iterator[LearningProgress]:
        """Learn on to the end, stage by stage, telling of each iteration. Between two, the state is whole.

        LearningDiverged where learning died or exploded and no smaller learning rate helped.
        """
        while self.state.stage < self.params.stages:
            while self.state.iteration < self.params.iterations:
                self._remember()
                health = self.update()
                diagnosis = self._diagnose(health)
                if diagnosis is not None:
                    self._recover(diagnosis.reason)
                    continue
                self._compare(health)
                if self.state.iteration == self.params.iterations:
                    self.state.end_nearest()
                yield self._progress(health)
            self._grow()

    def update(self) -> Health:
        """One turn of Algorithm 1: lines 4 (sample), 5 (compare) and 6 (step)."""
        state, net, params = self.state, self.state.net, self.params
        observed = self._observed()
        state.chains = self.engine.run(
            net,
            observed if params.contrastive else state.chains,
            params.langevin_steps,
            self._dynamics,
            state.generator,
            lambda _: self.interrupt(),
        )
        real = self.engine.gradient(net, observed, self._data_boundary)
        synthesized = self.engine.gradient(net, state.chains, params.boundary)
        for group in state.optimizer.param_groups:
            group["lr"] = self.learning_rate * group["pace"]
        for parameter, obs, syn in zip(net.parameters(), real.parameters, synthesized.parameters, strict=True):
            parameter.grad = syn - obs  # Adam descends; the likelihood ascends along H_obs - H_syn
        self._step()
        if not params.contrastive:  # whose chains, hardly moved, say little of how large f should be
            self._stretch(real.score, synthesized.score)
        state.iteration += 1
        return examine(state.chains, self.pictures.std, synthesized, real)

    def examine(self) -> Health:
        """The signs of the present state, on the first training pictures, and of what is shown of it."""
        observed = self._examples.to(self.state.chains)
        real = self.engine.gradient(self.state.net, observed, self._data_boundary)
        made = self.engine.gradient(self.state.net, self.state.chains, self.params.boundary)
        health = examine(self.state.chains, self.pictures.std, made, real)
        return replace(health, shown_std=rms(synthesized(self.state, self.params, self.engine)))

    @property
    def learning_rate(self) -> float:
        """η falls along a cosine over each stage, after a linear warm-up: high for long, and low at the end."""
        done = self.state.iteration / self.params.iterations
        height = (1 + math.cos(math.pi * done)) / 2
        decay = FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * height
        return self.params.learning_rate * self.state.learning_rate_scale * self._warmth * decay

    @property
    def _warmth(self) -> float:
        return min(1.0, (self.state.iteration + 1) / (WARM_UP * self.params.iterations))

    @torch.no_grad()
    def _step(self) -> None:
        """Adam's step, the first layer's in the coordinates of its whitening. Adam knows no weights, only gradients.

        The biases of a texture whose layers are learned at once keep their mean over each. Chains that are a little
        behind the pictures ask for ever higher ones, and Adam, which makes much of little, would raise them until every
        unit fires and f is linear.
        """
        net = self.state.net
        first, biases = net.weights[0], [bias.clone() for bias in net.biases]
        whitening, before, gradient = self._whitening.to(first), first.clone(), first.grad
        assert gradient is not None
        first.grad = whitening.filters(gradient)
        self.state.optimizer.step()
        first.grad = gradient
        first.copy_(before + whitening.filters(first - before))
        if self._is_texture:
            for bias, old in zip(net.biases, biases, strict=True):
                bias.sub_((bias - old).mean())

    @torch.no_grad()
    def _stretch(self, real: float, synthesized: float) -> None:
        """A step of its own along the score's size, where the likelihood's gradient is just f(real) - f(synthesized).

        On it hangs the contrast. Adam, which moves every weight alike, hardly follows it among the others' noise. For a
        texture it falls as the learning rate does: else, where that is small, it outruns what it is to balance.
        """
        net, size = self.state.net, abs(real) + abs(synthesized)
        if 0 < size < math.inf:
            pace = self.learning_rate / self.params.learning_rate if self._is_texture else self._warmth
            factor = math.exp(STRETCH * pace * (real - synthesized) / size)
            net.weights[-1].mul_(factor)  # f is linear in the highest weights and biases taken together
            net.biases[-1].mul_(factor)

    def _observed(self) -> Tensor:
        """This iteration's training pictures (M, C, H, W), under noise where the settings ask for it."""
        params, generator = self.params, self.state.generator
        if params.patch_size is None:
            images = self.pictures.draw(params.batch_size, generator)
        else:
            images = self.pictures.draw_patches(params.patch_size, params.batch_size, generator)
        if params.random_lattice:
            down, right = random_phase(self.architecture.total_stride, generator)
            images = images[..., down:, right:]
        if not params.picture_noise:
            return images
        return images + params.picture_noise * torch.randn(images.shape, generator=generator, device=images.device)

    def _begin(self, seed: int) -> LearningState:
        device, params = self.pictures.device, self.params
        weights_generator = torch.Generator().manual_seed(seed)  # on the CPU, so that a net begins alike everywhere
        net = GenerativeConvNet(architecture_at(params, self.architecture, stage=0), weights_generator)
        scale_weights(net, self._examples, self._data_boundary, self._whitening, weights_generator)
        net.to(device)
        chain_seed = int(torch.randint(2**63 - 1, (), generator=weights_generator))
        generator = torch.Generator(device).manual_seed(chain_seed)
        chains = first_chains(self.pictures, params, self.architecture, generator)
        return LearningState(net, chains, fresh_optimizer(net, self._paces(net)), generator)

    def _paces(self, net: GenerativeConvNet) -> list[float]:
        first = net.weights[0].detach()
        return paces(net, self._examples.to(first), self._data_boundary, self._whitening.to(first))

    @property
    def _data_boundary(self) -> Boundary:
        """Where a training picture ends: only what was synthesized continues periodically."""
        return boundary_of_pictures(self.params.boundary)

    def _grow(self) -> None:
        state = self.state
        state.stage += 1
        if state.stage < self.params.stages:
            shape = architecture_at(self.params, self.architecture, state.stage)
            state.net = add_layer(
                state.net, shape.layers[-1], state.generator, boundary=self.params.boundary, top_size=shape.top_size
            )
            state.optimizer = fresh_optimizer(state.net, self._paces(state.net))
            state.iteration = 0
            state.good.clear()

    def _diagnose(self, health: Health) -> Diagnosis | None:
        state, reference_std = self.state, self.architecture.reference_std
        state.wide_for = state.wide_for + 1 if is_wide(health, reference_std) else 0
        return diagnose(health, reference_std, state.wide_for, self.params.bounded)

    def _compare(self, health: Health) -> None:
        """Now and then, late in a stage: how near to the training pictures has it come? An ailing state not at all."""
        state, params, stride = self.state, self.params, self.architecture.total_stride
        late = state.iteration >= COMPARED_SHARE * params.iterations
        due = (params.iterations - state.iteration) % COMPARED_ITERATIONS == 0
        if params.keep_nearest and late and due and not remarks(health):
            made, real = synthesized(state, params, self.engine), self._examples
            near = sliced_wasserstein(made, real, directions=COMPARED_DIRECTIONS, seed=COMPARED_SEED)
            grid = relative_grid_peak(made, real, stride) or 1.0
            state.remember_nearest(near * max(1.0, grid / TOLERATED_GRID))

    def _remember(self) -> None:
        """Copy a good state now and then; the first in any case, so that there is one to go back to."""
        state = self.state
        due = state.iteration % SNAPSHOT_ITERATIONS == 0
        if not state.good or (due and is_steady(state.chains, self.pictures.std, self.architecture.reference_std)):
            state.remember()

    def _recover(self, reason: str) -> None:
        state = self.state
        if state.recoveries >= MAX_RECOVERIES:
            raise LearningDiverged(
                f"{reason}. Went back to a good state {state.recoveries} times, each time with a smaller rate, "
                f"down to {self.learning_rate:.2g}, and it did not help: a smaller learning_rate or step_size may"
            )
        state.go_back(RECOVERY_SCALE)

    def _progress(self, health: Health) -> LearningProgress:
        return LearningProgress(
            stage=self.state.stage + 1,
            stages=self.params.stages,
            iteration=self.state.iteration,
            iterations=self.params.iterations,
            learning_rate=self.learning_rate,
            health=health,
            recoveries=self.state.recoveries,
        )


def learn(
    images: Tensor | TrainingSet,
    params: LearningParams,
    *,
    state: LearningState | None = None,
    callback: Callable[[LearningProgress, LearningState], bool | None] | None = None,
) -> LearningState:
    """Algorithm 1 from beginning (or from `state`) to end: images (M, C, H, W) -> the learned net and its chains.

    `callback(progress, state)` is told of each iteration; where it returns True, learning stops there.
    """
    learner = Learner(images, params, state)
    for progress in learner.iterate():
        if callback is not None and callback(progress, learner.state):
            break
    return learner.state


def architecture_of(params: LearningParams, channels: int) -> Architecture:
    """The whole net that `params` describe, for pictures of `channels` channels."""
    layers = tuple(ConvLayer(layer.filters, layer.kernel_size, layer.stride) for layer in params.layers)
    return Architecture(layers, channels, params.reference_std, params.top).covering(params.side, params.boundary)


def precision_of(params: LearningParams) -> Precision:
    """Contrastive divergence lives on the difference of two nearly equal gradients, which bfloat16 would drown."""
    return "float32" if params.contrastive and params.precision == "auto" else params.precision


def architecture_at(params: LearningParams, whole: Architecture, stage: int) -> Architecture:
    """The net as it stands in a stage, counted from 0, while its layers are grown one by one (sec. 7)."""
    depth = min(stage, params.stages - 1) + 1 if params.layerwise else len(whole.layers)
    return whole.truncated(depth).covering(params.side, params.boundary)


def synthesized(state: LearningState, params: LearningParams, engine: Engine | None = None) -> Tensor:
    """What the chains hold, to be shown: clean of the noise that was learned under, in the right tone (M̃, C, S', S').

    On the torus S' may be a few pixels more than the size asked for.
    """
    clean = _clean(state.net, state.chains, params, engine)
    return Tone.of(clean, params).give(clean)


def tone_of(net: GenerativeConvNet, chains: Tensor, params: LearningParams, engine: Engine | None = None) -> Tone:
    """What pictures that a finished net draws are to be given: what the first of its chains (M̃, C, S', S') asks for."""
    return Tone.of(_clean(net, chains[:1], params, engine), params) if Tone.suits(params) else Tone()


def _clean(net: GenerativeConvNet, chains: Tensor, params: LearningParams, engine: Engine | None) -> Tensor:
    pull = engine.basis if engine else None
    return denoise(net, chains, params.picture_noise, params.boundary, params.random_lattice, pull)


def dynamics_of(params: LearningParams, box: ColourBox) -> Dynamics:
    """How the chains move that `params` learn with; where they are confined, to `box` and room for the noise of σ."""
    held = box.widened(params.reference_std) if params.bounded else None
    return Dynamics(params.step_size, params.boundary, held, params.random_lattice)


def first_chains(
    pictures: TrainingSet, params: LearningParams, architecture: Architecture, generator: torch.Generator
) -> Tensor:
    """Line 2: M̃ chains (M̃, C, S, S), S the pictures' side, on the torus rounded up to a multiple of the stride."""
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
