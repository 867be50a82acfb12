"""The learning rate over a stage."""

from itertools import pairwise

import pytest
from training import (
    PARAMS,
    pictures,
    with_,
)

from core.recipe.learner import learn
from core.recipe.schedule import FINAL_LEARNING_RATE, MAX_WARM_UP, WARM_UP, warm_up


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


def test_the_warm_up_of_a_long_stage_is_no_longer_than_its_limit():
    long = with_(iterations=4000)
    assert warm_up(long, MAX_WARM_UP - 2) < 1
    assert warm_up(long, MAX_WARM_UP - 1) == 1
    assert warm_up(with_(iterations=100), 4) == 0.5
