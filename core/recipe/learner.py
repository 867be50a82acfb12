"""Algorithm 1 as jobs run it: `core.theory.learning` with the recipe's parts.

The parts are: weights scaled to the pictures (scaling.py), orientations, stride phases and noise (augmentation.py),
chains in a colour box (dynamics.py) without the pattern of the strides (stride_pattern.py), the update rule
(update_rule.py), recovery (recovery.py), best-state selection (best_state.py), early stopping (early_stopping.py), a
coarse level (coarse_level.py) and a canvas, which begins as the coarse level's picture or as a patchwork of the chains.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from core.engine import Engine, choose_engine
from core.engine.parallel import serial_if_small
from core.pictures.images import rms
from core.pictures.patchwork import patchwork
from core.pictures.training_set import TrainingSet
from core.recipe.adam import Adam
from core.recipe.augmentation import draw_learnable
from core.recipe.best_state import BestStateSelection
from core.recipe.coarse_level import CoarseLevel, enlarge_net_, enlarged, soften_
from core.recipe.diagnosis import Health, measure_health
from core.recipe.early_stopping import EarlyStopping
from core.recipe.examples import examples_of
from core.recipe.preparation import dynamics_of
from core.recipe.recovery import LearningDiverged, Recovery
from core.recipe.rendering import render_chains
from core.recipe.scaling import initial_coordinates_of, learning_rate_scales, scale_weights, whitening_of
from core.recipe.schedule import last_iteration, learning_rate
from core.recipe.state import TrainingState
from core.recipe.stride_pattern import limit_stride_pattern_, pattern_limit
from core.recipe.update_rule import OPTIMIZERS, ScaledUpdate
from core.schemas.geometry import chain_side
from core.schemas.learned import boundary_of_pictures
from core.schemas.learning import LearningParams
from core.theory.learning import (
    Algorithm1,
    LearningProgress,
    LikelihoodGradient,
    architecture_of,
    grow,
    precision_of,
    start_learning,
)
from core.theory.model import GenerativeConvNet

RECONSTRUCTION_INTERVAL = 10  # iterations between two measurements of how well pictures are reconstructed


@dataclass(frozen=True)
class TrainingProgress(LearningProgress):
    """What one iteration did, how healthy it was, and how often learning was rolled back so far.

    last_iteration: the one that the stage will end with, as far as is known: `iterations`, or earlier.
    iterations_before: those of earlier stages.
    """

    health: Health
    recoveries: int
    last_iteration: int
    iterations_before: int

    @property
    def step(self) -> int:
        return self.iterations_before + self.iteration

    @property
    def fraction(self) -> float:
        return (self.stage - 1 + self.iteration / self.last_iteration) / self.stages


class Learner:
    """Algorithm 1 with the recipe, and its state between two iterations.

    images: training pictures (M, C, H, W), in grey levels about their mean. state: to resume from. engine: chosen by
    params and device if None. check_interrupt: called after each Langevin step; an exception that it raises ends
    learning. Raises ValueError if params.seed is None.

    between_iterations: True if learning can go on from the state as it is, also after an interrupt in the chains'
    steps; False if the interrupt came after the weights were moved, while the new state was judged.
    """

    def __init__(
        self,
        images: Tensor | TrainingSet,
        params: LearningParams,
        state: TrainingState | None = None,
        engine: Engine | None = None,
        check_interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        if params.seed is None:
            raise ValueError("seed must be set: the same seed gives the same pictures")
        self.params = params
        self.pictures = images if isinstance(images, TrainingSet) else TrainingSet.of(images)
        self.engine = engine or choose_engine(precision_of(params), self.pictures.device)
        self.check_interrupt = check_interrupt
        self._iterations_before = [params.iterations_before(stage) for stage in range(params.stages)]
        self.between_iterations = True
        if state is not None:
            state.prepare_to_continue(params)
        self._set_stage(state.stage if state else 0)
        if state is None and params.coarse_stages and self.coarse_level is None:  # nothing can be learned there
            self._set_stage(params.coarse_stages)
        self.state = state or self._begin()
        self._make_parts()

    def _set_stage(self, stage: int) -> None:
        """Set the settings of a stage, its pictures, and the examples that it is scaled on and compared with.

        If all stages are done, those of the last.
        """
        params = self.params.of_stage(min(stage, self.params.stages - 1))
        self.architecture = architecture_of(params, self.pictures.channels)
        is_coarse = stage < self.params.coarse_stages
        self.coarse_level = CoarseLevel.of(self.pictures, params, self.architecture) if is_coarse else None
        self.stage, self.stage_params = stage, params
        self.stage_pictures = self.coarse_level.pictures if self.coarse_level else self.pictures
        self.examples = examples_of(self.stage_pictures, params)
        self.whitening = whitening_of(self.examples, params)

    def _make_parts(self) -> None:
        """Make the parts of the recipe for the stage that is set."""
        params = self.stage_params
        self.recovery = Recovery(params, self.stage_pictures.std)
        self.best_state = BestStateSelection(params, self.examples, self.architecture.total_stride, self.engine)
        self.best_state.forget_outdated(self.state)
        self.early_stopping = EarlyStopping(params, self.best_state)
        self.algorithm = Algorithm1(
            params,
            self.state,
            observe=self._observe,
            dynamics=dynamics_of(params, self.stage_pictures.box),
            update_rule=ScaledUpdate(params, self.whitening),
            engine=self.engine,
            check_interrupt=self.check_interrupt,
            after_sampling=self._pattern_limiter() if params.random_lattice else lambda chains: chains,
        )

    def _pattern_limiter(self) -> Callable[[Tensor], Tensor]:
        """Return a function that limits the `stride_pattern` of chains to that of the training pictures under noise."""
        params, stride = self.stage_params, self.architecture.total_stride
        limit = pattern_limit(self.examples, stride, params.side**2)
        under_noise = math.hypot(limit, params.picture_noise * stride / params.side)
        return partial(limit_stride_pattern_, stride=stride, limit=under_noise)

    def iterate(self) -> Iterator[TrainingProgress]:
        """Learn to the end, stage by stage, and yield after each iteration. The state is consistent in between.

        Raises LearningDiverged if learning fails and no smaller learning rate helps. If that is on the coarse level,
        learning goes on without it.
        """
        while self.state.stage < self.params.stages:
            while self.state.iteration < self.last_iteration:
                self.recovery.keep_good_state(self.state)
                health = self.update()
                alive = self._judge(health)
                self.between_iterations = True
                if alive:
                    yield self._progress(health)
            self._finish_stage()

    def _finish_stage(self) -> None:
        """Finish a stage, and begin the next if there is one."""
        params, stage = self.params, self.state.stage
        if stage < params.coarse_stages:
            net, chains = self.state.net, self.state.chains
            self._begin_full_size(self.in_full_contrast(render_chains(net, chains, self.stage_params, self.engine)))
        elif stage + 1 == params.coarse_stages + params.layer_stages < params.stages:
            self._begin_canvas()
        else:
            grow(self.state, params, self.architecture, self._optimizer)

    def update(self) -> Health:
        """Run one iteration of Algorithm 1 and measure its health."""
        before = self.state.generator.get_state()
        try:
            gradient = self.algorithm.iterate()
        except BaseException:  # check_interrupt raises in line 4: random numbers were drawn, and nothing else was done
            self.state.generator.set_state(before)
            raise
        self.between_iterations = False
        health = self._health(gradient)
        return health if self.state.iteration % RECONSTRUCTION_INTERVAL else self._with_reconstruction(health)

    def _judge(self, health: Health) -> bool:
        """Roll the new state back if learning failed, and return False; else compare it with earlier ones."""
        try:
            failed = self.recovery.recover(self.state, health)
        except LearningDiverged:
            if self.state.stage >= self.params.coarse_stages:
                raise
            self._begin_full_size(None)  # the canvas, and an object, can do without the coarse picture
            return False
        if failed:
            self.best_state.forget_outdated(self.state)
            return False
        self.early_stopping.consider(self.state, health)
        self.best_state.consider(self.state, health)
        self.best_state.finish_stage(self.state)
        return True

    def measure_health(self) -> Health:
        """Measure the health of the present state on the first training pictures, with `shown_std`."""
        state = self.state
        health = self._health(self.algorithm.likelihood_gradient(self.examples.to(state.chains), state.chains))
        health = self._with_reconstruction(health)
        return replace(health, shown_std=rms(render_chains(state.net, state.chains, self.stage_params, self.engine)))

    @property
    def learning_rate(self) -> float:
        """η of the next iteration."""
        state = self.state
        return learning_rate(self.stage_params, state.iteration, state.learning_rate_scale, state.steady_at)

    @property
    def last_iteration(self) -> int:
        """The iteration that this stage ends with, as far as is known."""
        return last_iteration(self.stage_params, self.state.steady_at)

    def _begin(self) -> TrainingState:
        boundary = boundary_of_pictures(self.params.boundary)
        coordinates = initial_coordinates_of(self.examples, self.stage_params, self.whitening)

        def initialize(net: GenerativeConvNet, generator: torch.Generator) -> None:
            scale_weights(net, self.examples, boundary, coordinates, generator)

        start = start_learning(self.stage_pictures, self.stage_params, initialize)
        return TrainingState(start.net, start.chains, self._optimizer(start.net), start.generator, stage=self.stage)

    def _begin_full_size(self, picture: Tensor | None) -> None:
        """Begin to learn the pictures at their full size. picture: of the coarse level.

        A texture's is kept for the canvas, and windows begin as noise. An object's chains begin as it, and its net as
        that of the coarse level.
        """
        coarse, gain = self.state, self.coarse_level.gain if self.coarse_level else 1.0
        self._set_stage(self.params.coarse_stages)
        self.state = replace(self._begin(), earlier_recoveries=coarse.recoveries)
        if self.params.top != "object":
            self.state.coarse_picture = picture
        elif picture is not None:
            self._begin_as(coarse.net, picture, gain)
        self._make_parts()

    def _begin_as(self, net: GenerativeConvNet, pictures: Tensor, gain: float) -> None:
        """Begin with the net and the pictures of an object's coarse level, enlarged."""
        state, params = self.state, self.stage_params
        enlarge_net_(state.net, net, self.params.coarse_factor, gain)
        soften_(state.net.weights[0])
        chains = enlarged(pictures, state.chains.shape[-1], params.picture_noise, state.generator, periodic=False)
        self.state = replace(state, chains=chains.to(state.chains), optimizer=self._optimizer(state.net))

    def in_full_contrast(self, images: Tensor) -> Tensor:
        """Return pictures or chains of this stage (N, C, H, W) in the grey levels of the training pictures."""
        return self.coarse_level.in_full_contrast(images) if self.coarse_level else images

    def _begin_canvas(self) -> None:
        """Continue with one chain as large as the pictures: the coarse picture, or a `patchwork` of the chains."""
        state, params = self.state, self.params
        side = chain_side(params.layers, params.of_stage(state.stage + 1).side, params.boundary)
        if state.coarse_picture is not None:
            chains = enlarged(state.coarse_picture, side, params.picture_noise, state.generator, periodic=True)
        else:
            stride, before = self.architecture.total_stride, state.generator.get_state()
            try:
                chains = patchwork(state.chains, side, side, stride, state.generator, self.check_interrupt)
            except BaseException:  # as in `update`
                state.generator.set_state(before)
                raise
        state.finish_stage()
        self._set_stage(state.stage)
        state.begin_stage(state.net, self._optimizer(state.net), chains)
        state.forget_coarse_picture()
        self._make_parts()

    def _optimizer(self, net: GenerativeConvNet) -> Adam:
        first, boundary = net.weights[0].detach(), boundary_of_pictures(self.params.boundary)
        scales = learning_rate_scales(net, self.examples.to(first), boundary, self.whitening.to(first))
        return OPTIMIZERS[self.params.optimizer](net, scales)

    def _observe(self, generator: torch.Generator) -> Tensor:
        with serial_if_small(self.state.chains):
            return draw_learnable(self.stage_pictures, self.stage_params, self.architecture, generator)

    def _health(self, gradient: LikelihoodGradient) -> Health:
        with serial_if_small(self.state.chains):
            std = self.stage_pictures.std
            return measure_health(self.state.net, self.state.chains, std, gradient.synthesized, gradient.observed)

    def _with_reconstruction(self, health: Health) -> Health:
        """Return health with `reconstruction_std` of all examples in contrastive divergence, which lowers it (Prop. 3).

        Else of the first example alone.
        """
        examples = self.examples if self.params.contrastive else self.examples[:1]
        net, images = self.state.net, examples.to(self.state.chains)
        with serial_if_small(images):
            basis = self.engine.basis(net, images, boundary_of_pictures(self.params.boundary))
        return replace(health, reconstruction_std=rms(images - net.architecture.reference_std**2 * basis))

    def _progress(self, health: Health) -> TrainingProgress:
        return TrainingProgress(
            stage=self.state.stage + 1,
            stages=self.params.stages,
            iteration=self.state.iteration,
            iterations=self.stage_params.iterations,
            learning_rate=self.learning_rate,
            health=health,
            recoveries=self.state.all_recoveries,
            last_iteration=self.last_iteration,
            iterations_before=self._iterations_before[self.state.stage],
        )


def learn(
    images: Tensor | TrainingSet,
    params: LearningParams,
    *,
    state: TrainingState | None = None,
    callback: Callable[[TrainingProgress, TrainingState], bool | None] | None = None,
) -> TrainingState:
    """Run Algorithm 1 with the recipe from the beginning, or from `state`, to the end; return the final state.

    images (M, C, H, W). `callback(progress, state)` is called after each iteration; learning stops if it returns True.
    Raises what `Learner` and `Learner.iterate` raise.
    """
    learner = Learner(images, params, state)
    for progress in learner.iterate():
        if callback is not None and callback(progress, learner.state):
            break
    return learner.state
