"""Snapshots of a training run, and the good states among them."""

from dataclasses import replace

import pytest
import torch
from training import (
    CPU,
    PARAMS,
    pictures,
    stop_at,
)

from core.recipe.learner import Learner, learn
from core.recipe.state import TrainingState
from core.theory.model import Architecture, ConvLayer


def test_a_snapshot_of_another_net_is_refused():
    state = learn(pictures(), PARAMS, callback=stop_at(3))
    with pytest.raises(ValueError, match="does not fit the net"):
        TrainingState.restored(state.snapshot(), Architecture((ConvLayer(9, 5, 2),), channels=1), CPU)


def test_good_states_are_copies_that_later_iterations_do_not_touch():
    learner = Learner(pictures(), PARAMS)
    learner.update()
    learner.state.keep_good_state()
    before = {name: value.clone() for name, value in learner.state.good_states[0].tensors.items()}
    for _ in range(3):
        learner.state.chains.zero_()
        learner.update()
    assert all(torch.equal(value, before[name]) for name, value in learner.state.good_states[0].tensors.items())
    learner.state.roll_back(0.5)
    later = replace(learner.state.snapshot(), numbers={})
    for name, value in before.items():
        assert name == "generator" or torch.equal(later.tensors[name], value)
    assert learner.state.learning_rate_scale == 0.5
