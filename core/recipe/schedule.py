"""The learning rate over one stage (a linear warm-up, then a cosine down to a fiftieth), and the stage's length."""

import math

from core.schemas.learning import LearningParams

WARM_UP = 0.1  # share of a stage's iterations; Adam's first steps move all weights alike, and large ones diverge
MAX_WARM_UP = 150  # iterations; chains that overshoot at the beginning return too slowly under a slower warm-up
FINAL_LEARNING_RATE = 0.02  # share of the full learning rate, reached at the end of a stage
COOL_DOWN = 0.25  # share of a stage's iterations in which a stage that ends early passes the rest of the schedule


def last_iteration(params: LearningParams, steady_at: int | None = None) -> int:
    """Return the iteration that a stage ends with. `steady_at` is the one at which its pictures came no nearer."""
    if steady_at is None:
        return params.iterations
    return min(params.iterations, steady_at + math.ceil(COOL_DOWN * params.iterations))


def schedule_fraction(params: LearningParams, iteration: int, steady_at: int | None = None) -> float:
    """Return the share of the schedule that is over after `iteration` iterations of the stage, 0 to 1.

    It is the share of the iterations; but from `steady_at` on, the rest of the schedule is passed by `last_iteration`.
    """
    if steady_at is None or iteration <= steady_at:
        return iteration / params.iterations
    share = (iteration - steady_at) / (last_iteration(params, steady_at) - steady_at)
    begun = steady_at / params.iterations
    return min(1.0, begun + share * (1 - begun))


def warm_up(params: LearningParams, iteration: int) -> float:
    """Return the factor of the warm-up, in (0, 1], after `iteration` iterations of the stage."""
    return min(1.0, (iteration + 1) / min(WARM_UP * params.iterations, MAX_WARM_UP))


def learning_rate(params: LearningParams, iteration: int, scale: float = 1.0, steady_at: int | None = None) -> float:
    """Return η after `iteration` iterations of the stage. `scale` is what recoveries have reduced it to."""
    height = (1 + math.cos(math.pi * schedule_fraction(params, iteration, steady_at))) / 2
    decay = FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * height
    return params.learning_rate * scale * warm_up(params, iteration) * decay
