"""Learning that dies or diverges returns to a good state with a smaller learning rate."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nets import each_once
from training import (
    PARAMS,
    STEPS,
    Sabotage,
    assert_same,
    blow_up,
    kill,
    pictures,
    poison,
    stop_at,
    through_checkpoint_file,
    through_snapshot,
)

from core.pictures.images import read_picture
from core.recipe.diagnosis import (
    MAX_OVERSHOOT,
    MAX_WIDE_ITERATIONS,
    NORMAL_OVERSHOOT,
    WIDE_STD_RATIO,
    Health,
    find_warnings,
)
from core.recipe.learner import Learner, learn
from core.recipe.preparation import prepare_for
from core.recipe.presets import PRESETS
from core.recipe.recovery import GOOD_STATE_ITERATIONS, MAX_RECOVERIES, RECOVERY_SCALE, LearningDiverged
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams

TEXTURE = Path(__file__).parents[3] / "examples" / "texture.png"


@pytest.fixture(scope="module", params=[kill, blow_up])
def spoilt(request):
    """How it is spoilt after iteration 28, and where learning ends that is not stopped as well."""
    return request.param, learn(pictures(), PARAMS, callback=Sabotage(request.param, step=28))


@each_once("spoil, step", [kill, blow_up, poison], [10, 28, 58])
def test_a_failure_is_noticed_soon_and_rolled_back_with_a_smaller_rate(spoil, step):
    sabotage = Sabotage(spoil, step)
    state = learn(pictures(), PARAMS, callback=sabotage)
    steps = [progress.step for progress in sabotage.progress]
    unnoticed = [progress for progress in sabotage.progress[step:] if progress.recoveries == 0]
    assert len(unnoticed) <= 3
    after = sabotage.progress[step + len(unnoticed)]
    assert after.recoveries == 1
    assert after.step <= step  # gone back, not on
    before = sabotage.progress[steps.index(after.step)]
    assert after.learning_rate == pytest.approx(RECOVERY_SCALE * before.learning_rate)
    assert state.recoveries == 1
    assert steps[-1] == STEPS
    assert all(torch.isfinite(parameter).all() for parameter in state.net.parameters())
    assert state.chains.std() < 3 * pictures().std()


@pytest.mark.parametrize("step", [28, *(pytest.param(step, marks=pytest.mark.exhaustive) for step in (3, 27, 29))])
def test_resumed_learning_is_bit_identical_across_a_recovery(spoilt, step):
    """The good states to go back to travel with the checkpoint; spoilt after iteration 28, stopped before and after."""
    spoil, never_stopped = spoilt
    assert never_stopped.recoveries == 1
    first = Sabotage(spoil, step=28, stop=step)
    stopped = learn(pictures(), PARAMS, callback=first)
    second = Sabotage(spoil, step=28)
    second.done = first.done
    resumed = learn(pictures(), PARAMS, state=through_checkpoint_file(stopped, PARAMS), callback=second)
    assert_same(resumed, never_stopped)


def test_learning_restored_from_a_snapshot_alone_can_recover():
    """Without the kept good states it goes back no further than to where it was resumed."""
    stopped = learn(pictures(), PARAMS, callback=stop_at(10))
    sabotage = Sabotage(kill, step=12)
    state = learn(pictures(), PARAMS, state=through_snapshot(stopped, PARAMS), callback=sabotage)
    assert state.recoveries == 1
    assert min(progress.step for progress in sabotage.progress if progress.recoveries == 1) > 10


@pytest.mark.parametrize(
    ("spoil", "reason"), [(kill, "layer 1 died"), (blow_up, "chains exploded"), (poison, "chains exploded")]
)
def test_learning_that_keeps_failing_ends_with_the_reason(spoil, reason):
    learner = Learner(pictures(), PARAMS)
    spoil(learner.state)  # before the first iteration: there is no good state
    with pytest.raises(LearningDiverged, match=reason) as caught:
        list(learner.iterate())
    assert learner.state.recoveries == MAX_RECOVERIES
    assert f"{MAX_RECOVERIES} times" in str(caught.value)
    assert "smaller learning_rate or step_size" in str(caught.value)


def test_learning_that_fails_after_every_iteration_ends_after_the_maximum_of_recoveries():
    with pytest.raises(LearningDiverged, match="died"):
        learn(pictures(), PARAMS, callback=lambda _, state: kill(state))


def test_healthy_learning_is_not_rolled_back():
    state = learn(pictures(), PARAMS)
    assert (state.recoveries, state.learning_rate_scale) == (0, 1)


GOOD = Health(20.0, 20.0, (0.3,), (0.3,), 0.0)
WIDE = replace(GOOD, chain_std=1.01 * WIDE_STD_RATIO * 20.0)


@pytest.fixture
def one_layer():
    params = LearningParams(image_size=16, layers=(LayerParams(filters=3, kernel_size=5),), num_chains=1, seed=1)
    images = 20 * torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    learner = Learner(images, params)
    return learner.recovery, learner.state


def test_wide_chains_that_come_back_in_time_are_no_failure(one_layer):
    recovery, state = one_layer
    for _ in range(2):
        for _ in range(MAX_WIDE_ITERATIONS):
            assert not recovery.recover(state, WIDE)
        assert state.wide_for == MAX_WIDE_ITERATIONS
        assert not recovery.recover(state, GOOD)
        assert state.wide_for == 0


def test_chains_that_stay_wide_are_rolled_back_and_given_the_same_patience_again(one_layer):
    recovery, state = one_layer
    recovery.keep_good_state(state)
    for _ in range(MAX_WIDE_ITERATIONS):
        assert not recovery.recover(state, WIDE)
    assert recovery.recover(state, WIDE)
    assert (state.recoveries, state.learning_rate_scale, state.wide_for) == (1, RECOVERY_SCALE, 0)
    assert not recovery.recover(state, WIDE)


OVERSHOOTING = replace(GOOD, chain_std=25.0, relative_score_difference=1.2 * MAX_OVERSHOOT)


@pytest.fixture
def texture():
    params = PARAMS.model_copy(update={"layerwise": False})
    learner = Learner(pictures(), params)
    return params, learner.recovery, learner.state


def test_chains_that_overshoot_for_long_are_rolled_back_to_before_they_did(texture):
    params, recovery, state = texture
    recovery.keep_good_state(state)
    began_at = 2 * GOOD_STATE_ITERATIONS + 1
    for state.iteration in range(1, began_at):
        assert not recovery.recover(state, GOOD)
        recovery.keep_good_state(state)
    kept = [0, GOOD_STATE_ITERATIONS, 2 * GOOD_STATE_ITERATIONS]
    iteration = began_at
    while not recovery.recover(state, OVERSHOOTING):
        assert through_checkpoint_file(state, params).mean_overshoot == state.mean_overshoot <= MAX_OVERSHOOT
        iteration = state.iteration = iteration + 1
        recovery.keep_good_state(state)
        assert [one.numbers["iteration"] for one in state.good_states] == kept
    assert iteration > began_at + 2 * GOOD_STATE_ITERATIONS  # two states more would have been copied
    assert state.iteration == GOOD_STATE_ITERATIONS
    assert (state.recoveries, state.learning_rate_scale, state.mean_overshoot) == (1, RECOVERY_SCALE, 0)


def test_chains_that_overshoot_now_and_then_are_not_rolled_back(texture):
    _, recovery, state = texture
    for _ in range(100):
        assert not recovery.recover(state, replace(OVERSHOOTING, relative_score_difference=1.9 * MAX_OVERSHOOT))
        assert not recovery.recover(state, GOOD)


def test_chains_that_go_on_overshooting_end_no_job(texture):
    """Unlike chains that exploded: the warnings of the finished job say what is wrong with its pictures."""
    _, recovery, state = texture
    recovery.keep_good_state(state)
    rolled_back = [recovery.recover(state, OVERSHOOTING) for _ in range(1000)]
    assert rolled_back.count(True) == state.recoveries == MAX_RECOVERIES
    with pytest.raises(LearningDiverged):
        recovery.recover(state, replace(GOOD, chain_std=float("inf")))


def test_only_textures_are_judged_by_how_far_their_chains_overshoot(one_layer):
    recovery, state = one_layer
    for _ in range(100):
        assert not recovery.recover(state, replace(OVERSHOOTING, relative_score_difference=1.0))


@pytest.mark.parametrize("seed", [pytest.param(1, marks=pytest.mark.exhaustive), 3])
def test_steps_with_which_chains_overshoot_are_recovered_from(seed):
    """If overshooting is not noticed, seed 3 ends with fine stripes in the bricks, seven times the contrast."""
    sizes = ((16, 9, 3), (12, 3, 1), (8, 3, 1))
    layers = [LayerParams(filters=filters, kernel_size=side, stride=stride) for filters, side, stride in sizes]
    large = {"learning_rate": 4e-3, "step_size": 9.0}
    changed = {"layers": layers, "iterations": 200, "precision": "float32", "seed": seed, **large}
    params = PRESETS["quick"].model_copy(update=changed)
    picture = read_picture(TEXTURE.read_bytes(), params.image_size, channels=1)
    images, _ = prepare_for(params, picture[None])
    learner = Learner(images, params)
    for _ in learner.iterate():
        pass
    assert learner.state.recoveries > 0
    assert find_warnings(learner.measure_health()) == []


def test_states_whose_chains_overshoot_are_not_worth_returning_to(texture):
    _, recovery, state = texture
    recovery.keep_good_state(state)
    for state.mean_overshoot, kept in ((1.01 * NORMAL_OVERSHOOT, 1), (0.99 * NORMAL_OVERSHOOT, 2)):
        state.iteration = GOOD_STATE_ITERATIONS
        recovery.keep_good_state(state)
        assert len(state.good_states) == kept


def test_good_states_are_kept_at_intervals_and_only_if_the_chains_have_a_normal_spread(one_layer):
    recovery, state = one_layer
    recovery.keep_good_state(state)  # the first in any case
    for iteration, scale, kept in ((GOOD_STATE_ITERATIONS - 1, 1, 1), (GOOD_STATE_ITERATIONS, 100, 1)):
        state.iteration, state.chains = iteration, scale * torch.full_like(state.chains, 10.0)
        recovery.keep_good_state(state)
        assert len(state.good_states) == kept
    state.chains = torch.full_like(state.chains, 10.0)
    recovery.keep_good_state(state)
    assert [one.numbers["iteration"] for one in state.good_states] == [0, GOOD_STATE_ITERATIONS]
