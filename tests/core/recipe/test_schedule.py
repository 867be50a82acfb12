"""The learning rate over a stage."""

from itertools import pairwise

import pytest
from training import (
    PARAMS,
    pictures,
)

from core.recipe.learner import learn
from core.recipe.schedule import FINAL_LEARNING_RATE, WARM_UP


def test_the_learning_rate_warms_up_then_falls_along_a_cosine_over_each_stage():
    told = []
    learn(pictures(), PARAMS, callback=lambda progress, _: told.append(progress))
    for stage in (1, 2):
        rates = [progress.learning_rate for progress in told if progress.stage == stage]
        warm = round(WARM_UP * PARAMS.iterations)
        assert all(earlier < later for earlier, later in pairwise(rates[: warm - 1]))
        assert all(later < earlier for earlier, later in pairwise(rates[warm - 1 :]))
        assert rates[-1] == pytest.approx(PARAMS.learning_rate * FINAL_LEARNING_RATE)
        assert rates[14] == pytest.approx(PARAMS.learning_rate * (1 + FINAL_LEARNING_RATE) / 2)
