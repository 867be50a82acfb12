"""The learning rate over one stage: a linear warm-up, then a cosine down to a fiftieth."""

import math

from core.schemas.learning import LearningParams

WARM_UP = 0.1  # share of a stage's iterations; Adam's first steps move all weights alike, and large ones diverge
MAX_WARM_UP = 150  # iterations; chains that overshoot at the beginning return too slowly under a slower warm-up
FINAL_LEARNING_RATE = 0.02  # share of the full learning rate, reached at the end of a stage


def warm_up(params: LearningParams, iteration: int) -> float:
    """Return the factor of the warm-up, in (0, 1], after `iteration` iterations of the stage."""
    return min(1.0, (iteration + 1) / min(WARM_UP * params.iterations, MAX_WARM_UP))


def learning_rate(params: LearningParams, iteration: int, scale: float = 1.0) -> float:
    """Return η after `iteration` iterations of the stage. `scale` is what recoveries have reduced it to."""
    height = (1 + math.cos(math.pi * (iteration / params.iterations))) / 2
    decay = FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * height
    return params.learning_rate * scale * warm_up(params, iteration) * decay
