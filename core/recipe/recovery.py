"""Return to an earlier state, with a smaller learning rate, when learning has died or diverged or chains overshoot."""

from core.recipe.diagnosis import (
    MAX_OVERSHOOT,
    NORMAL_OVERSHOOT,
    Health,
    diagnose,
    has_normal_spread,
    is_wide,
    overshoot,
)
from core.recipe.schedule import learning_rate
from core.recipe.state import TrainingState
from core.schemas.learning import LearningParams

GOOD_STATE_ITERATIONS = 25  # between two copies of a good state
RECOVERY_SCALE = 0.7  # of the learning rate, at each recovery
MAX_RECOVERIES = 6


class LearningDiverged(RuntimeError):
    """Learning died or diverged again and again, also with ever smaller learning rates."""


class Recovery:
    """Keeps copies of good states and rolls back to one of them. data_std: of the training pictures, grey levels."""

    def __init__(self, params: LearningParams, data_std: float) -> None:
        self.params, self.data_std = params, data_std

    def keep_good_state(self, state: TrainingState) -> None:
        """Copy the state every GOOD_STATE_ITERATIONS if its chains have a normal spread and do not overshoot.

        The first one is copied in any case.
        """
        due = state.iteration % GOOD_STATE_ITERATIONS == 0 and state.mean_overshoot < NORMAL_OVERSHOOT
        if not state.good_states or (due and has_normal_spread(state.chains, self.data_std, self.params.reference_std)):
            state.keep_good_state()

    def recover(self, state: TrainingState, health: Health) -> bool:
        """Roll the state back if it has failed or a texture's chains overshoot, and return True; else return False.

        After MAX_RECOVERIES, chains may overshoot, and LearningDiverged is raised for what cannot go on.
        """
        params, last = self.params, state.recoveries >= MAX_RECOVERIES
        state.count_wide(is_wide(health, params.reference_std))
        if params.is_texture:
            state.average_overshoot(overshoot(health, params.reference_std))
        reason = diagnose(health, params.reference_std, state.wide_for, params.bounded)
        if reason is not None and last:
            rate = learning_rate(params, state.iteration, state.learning_rate_scale, state.steady_at)
            raise LearningDiverged(
                f"{reason}. Learning returned to a good state {state.recoveries} times, each time with a "
                f"smaller learning rate, down to {rate:.2g}, without success. Try a smaller learning_rate or step_size"
            )
        if reason is None and (last or not state.mean_overshoot > MAX_OVERSHOOT):
            return False
        state.roll_back(RECOVERY_SCALE)
        return True
