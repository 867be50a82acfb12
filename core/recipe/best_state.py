"""End a stage with its best state: a chain wanders, and the last moment is not its best."""

from torch import Tensor

from core.engine import Engine
from core.pictures.quality import relative_grid_peak, sliced_wasserstein
from core.recipe.diagnosis import Health, find_warnings
from core.recipe.rendering import render_chains
from core.recipe.state import TrainingState
from core.schemas.learning import LearningParams

COMPARED_SHARE = 0.9  # of a stage's iterations come first: before, the weights still move
COMPARED_ITERATIONS = 4  # between two comparisons
COMPARED_DIRECTIONS = 64
COMPARED_SEED = 1  # other directions than those that `core.pictures.quality` judges by in the end
TOLERATED_GRID = 1.8  # times the training pictures'; a state whose net's stride shows more counts as farther away


class BestStateSelection:
    """Keeps the state whose pictures are nearest to the training pictures (sliced Wasserstein distance of patches).

    examples: training pictures (N, C, H, W), in grey levels about their mean. stride: of the net, in pixels.
    """

    def __init__(self, params: LearningParams, examples: Tensor, stride: int, engine: Engine) -> None:
        self.params, self.examples, self.stride, self.engine = params, examples, stride, engine

    def forget_outdated(self, state: TrainingState) -> None:
        """Forget a best state that was kept too early, because learning now continues beyond its planned end."""
        state.forget_best_before(COMPARED_SHARE * self.params.iterations)

    def consider(self, state: TrainingState, health: Health) -> None:
        """Keep the state if it is the best so far. Only late in a stage, now and then, and only if it is healthy."""
        params = self.params
        late = state.iteration >= COMPARED_SHARE * params.iterations
        due = (params.iterations - state.iteration) % COMPARED_ITERATIONS == 0
        if params.keep_nearest and late and due and not find_warnings(health):
            state.keep_if_best(self._distance(state))

    def finish_stage(self, state: TrainingState) -> None:
        """Restore the best state once the stage's last iteration is done."""
        if state.iteration == self.params.iterations:
            state.restore_best()

    def _distance(self, state: TrainingState) -> float:
        made = render_chains(state.net, state.chains, self.params, self.engine)
        distance = sliced_wasserstein(made, self.examples, directions=COMPARED_DIRECTIONS, seed=COMPARED_SEED)
        grid = relative_grid_peak(made, self.examples, self.stride) or 1.0
        return distance * max(1.0, grid / TOLERATED_GRID)
