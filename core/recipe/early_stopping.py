"""`stop_when_steady`: end a stage early once its pictures have stopped coming nearer to the training pictures.

From then on the rest of the schedule is passed quickly (`core.recipe.schedule.schedule_fraction`), because the state
that a stage ends with must be one at rest: docs/experiments/stop-when-steady.md.
"""

from core.recipe.best_state import BestStateSelection
from core.recipe.diagnosis import Health, find_warnings
from core.recipe.schedule import WARM_UP, last_iteration
from core.recipe.state import TrainingState
from core.schemas.learning import LearningParams

COMPARISONS = 60  # of the chains with the training pictures, evenly over a stage's iterations
AVERAGED = 6  # comparisons in a row: one alone varies by a tenth from iteration to iteration
PATIENCE = 6  # means in a row that are no better than those before
TOLERANCE = 0.1  # a mean is better if it is smaller by this share


class EarlyStopping:
    """Compares the chains with the training pictures at equal intervals, and says when they are steady."""

    def __init__(self, params: LearningParams, selection: BestStateSelection) -> None:
        self.params, self.selection = params, selection

    def consider(self, state: TrainingState, health: Health) -> None:
        """Compare if it is due, and note in the state if its pictures have stopped coming nearer.

        An unhealthy state is not steady, and comparisons begin anew after it.
        """
        interval = max(1, self.params.iterations // COMPARISONS)
        warmed_up = state.iteration > WARM_UP * self.params.iterations
        due = warmed_up and state.iteration % interval == 0
        if not self.params.stop_when_steady or state.steady_at is not None or not due:
            return
        if find_warnings(health):
            state.forget_distances()
            return
        state.add_distance(self.selection.distance(state))
        if is_steady(state.distances):
            state.become_steady()


def early_end(params: LearningParams, steady_at: int | None) -> str | None:
    """Return how early the last stage ended, in words for the user; None if it had all its iterations."""
    asked = params.of_stage(params.stages - 1)
    done = last_iteration(asked, steady_at)
    if done == asked.iterations:
        return None
    stage = " of its last stage" if params.stages > 1 else ""
    return f"ended early, after {done} of {asked.iterations} iterations{stage}: its pictures had stopped coming nearer"


def is_steady(distances: list[float]) -> bool:
    """Return True if none of the last PATIENCE means over AVERAGED distances is smaller than all before it.

    Smaller means by the share TOLERANCE at least.
    """
    means = [sum(distances[end - AVERAGED : end]) / AVERAGED for end in range(AVERAGED, len(distances) + 1)]
    return len(means) > PATIENCE and min(means[-PATIENCE:]) > (1 - TOLERANCE) * min(means[:-PATIENCE])
