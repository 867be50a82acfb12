"""End a stage with its best state instead of its last one, because the chains vary from iteration to iteration."""

from torch import Tensor

from core.engine import Engine
from core.pictures.quality import relative_grid_peak, sliced_wasserstein
from core.recipe.diagnosis import Health, find_warnings
from core.recipe.rendering import render_chains
from core.recipe.schedule import last_iteration, schedule_fraction
from core.recipe.state import TrainingState
from core.schemas.learning import LearningParams

FIRST_COMPARED = 0.9  # share of a stage's schedule after which states are compared; before, the weights still move
COMPARISON_INTERVAL = 4  # iterations between two comparisons
DIRECTIONS = 64  # of the sliced Wasserstein distance
DIRECTIONS_SEED = 1  # other directions than those of the final assessment, `core.pictures.quality.assess`
TOLERATED_GRID_PEAK = 1.8  # times the training pictures'; above it the distance is multiplied by the excess


class BestStateSelection:
    """Keeps the state whose pictures are nearest to the training pictures (sliced Wasserstein distance of patches).

    examples: training pictures (N, C, H, W), in grey levels about their mean. stride: of the net, in pixels.
    """

    def __init__(self, params: LearningParams, examples: Tensor, stride: int, engine: Engine) -> None:
        self.params, self.examples, self.stride, self.engine = params, examples, stride, engine

    def forget_outdated(self, state: TrainingState) -> None:
        """Forget a best state that was kept too early, because the stage will now end later than it was to then."""
        if state.best is not None and not self._is_late(state, state.best_iteration):
            state.forget_best()

    def consider(self, state: TrainingState, health: Health) -> None:
        """Keep the state if it is the best so far, is healthy, and if a comparison is due late in the stage."""
        params = self.params
        due = (last_iteration(params, state.steady_at) - state.iteration) % COMPARISON_INTERVAL == 0
        if params.keep_nearest and self._is_late(state, state.iteration) and due and not find_warnings(health):
            state.keep_if_best(self.distance(state))

    def finish_stage(self, state: TrainingState) -> None:
        """Restore the best state once the stage's last iteration is done."""
        if state.iteration == last_iteration(self.params, state.steady_at):
            state.restore_best()

    def distance(self, state: TrainingState) -> float:
        """Return the distance of the state's pictures to the training pictures, larger if the net's stride shows."""
        made = render_chains(state.net, state.chains, self.params, self.engine)
        distance = sliced_wasserstein(made, self.examples, directions=DIRECTIONS, seed=DIRECTIONS_SEED)
        grid = relative_grid_peak(made, self.examples, self.stride) or 1.0
        return distance * max(1.0, grid / TOLERATED_GRID_PEAK)

    def _is_late(self, state: TrainingState, iteration: int) -> bool:
        return schedule_fraction(self.params, iteration, state.steady_at) >= FIRST_COMPARED
