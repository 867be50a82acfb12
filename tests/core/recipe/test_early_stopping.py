"""`stop_when_steady`: a stage ends early once its pictures have stopped coming nearer to the training pictures."""

import pytest
import torch
from pydantic import ValidationError
from training import assert_same, kill, through_checkpoint_file

from core.recipe import best_state, early_stopping, recovery
from core.recipe.early_stopping import AVERAGED, PATIENCE, early_end, is_steady
from core.recipe.learner import Learner, learn
from core.recipe.schedule import COOL_DOWN, FINAL_LEARNING_RATE, last_iteration, learning_rate, schedule_fraction
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams

ITERATIONS = 60  # so that every iteration is compared
NEEDED = AVERAGED + PATIENCE  # comparisons until pictures can be found steady
WARM_UP = 6
STEADY_AT = WARM_UP + NEEDED
LAST = STEADY_AT + round(COOL_DOWN * ITERATIONS)


def params_of(**settings):
    layers = (LayerParams(filters=4, kernel_size=5, stride=2), LayerParams(filters=3, kernel_size=3))
    given = {"image_size": 16, "layers": layers, "num_chains": 2, "langevin_steps": 1, "iterations": ITERATIONS}
    more = {"reference_std": 5.0, "step_size": 3.0, "layerwise": False, "stop_when_steady": True, "seed": 5}
    return LearningParams(**{**given, **more, **settings})


def images_of():
    generator = torch.Generator().manual_seed(1)
    images = 20 * torch.randn(1, 1, 16, 16, generator=generator).cumsum(dim=3) / 4
    return images - images.mean()


@pytest.fixture
def steady(monkeypatch):
    """All states are healthy, though chains of this tiny net overshoot, and equally near to the training pictures."""
    monkeypatch.setattr(recovery, "overshoot", lambda *_: 0.0)
    monkeypatch.setattr(early_stopping, "find_warnings", lambda _: [])
    monkeypatch.setattr("core.recipe.best_state.BestStateSelection.distance", lambda *_: 1.0)


def test_distances_are_steady_when_their_means_no_longer_fall():
    falling = [0.9**index for index in range(40)]
    assert not any(is_steady(falling[:count]) for count in range(41))
    flat = [1.0] * NEEDED
    assert not is_steady(flat[1:])
    assert is_steady(flat)
    assert is_steady(falling[:20] + [falling[20]] * NEEDED)
    assert not is_steady([*flat, *[0.5] * AVERAGED])


def test_from_where_it_is_steady_the_rest_of_the_schedule_is_passed_quickly():
    params = params_of(iterations=1000)
    assert last_iteration(params) == 1000
    assert last_iteration(params, 300) == 550
    assert last_iteration(params, 950) == 1000
    assert schedule_fraction(params, 300, 300) == pytest.approx(0.3)
    assert schedule_fraction(params, 425, 300) == pytest.approx(0.65)
    assert schedule_fraction(params, 550, 300) == 1
    assert learning_rate(params, 425, steady_at=300) == pytest.approx(learning_rate(params, 650))
    assert learning_rate(params, 550, steady_at=300) == pytest.approx(FINAL_LEARNING_RATE * params.learning_rate)


def test_an_early_end_is_told_only_if_there_was_one():
    params = params_of(iterations=1000)
    assert early_end(params, 300) == "ended early, after 550 of 1000 iterations: its pictures had stopped coming nearer"
    assert "of 1000 iterations of its last stage:" in (early_end(params_of(iterations=1000, layerwise=True), 300) or "")
    assert early_end(params, None) is None
    assert early_end(params, 750) is None  # found steady too late to save any


@pytest.mark.usefixtures("steady")
def test_a_steady_stage_ends_after_its_cool_down():
    seen = list(Learner(images_of(), params_of()).iterate())
    assert (len(seen), seen[-1].iteration, seen[-1].last_iteration) == (LAST, LAST, LAST)
    assert [one.fraction for one in seen] == sorted(one.fraction for one in seen)
    assert seen[-1].fraction == 1.0
    assert seen[STEADY_AT - 2].last_iteration == ITERATIONS
    assert seen[-1].learning_rate == pytest.approx(FINAL_LEARNING_RATE * params_of().learning_rate)
    assert len(list(Learner(images_of(), params_of(stop_when_steady=False)).iterate())) == ITERATIONS


@pytest.mark.usefixtures("steady")
def test_each_stage_may_end_early():
    stages = [(one.stage, one.iteration) for one in Learner(images_of(), params_of(layerwise=True)).iterate()]
    assert stages == [(stage, iteration) for stage in (1, 2) for iteration in range(1, LAST + 1)]


@pytest.mark.usefixtures("steady")
def test_unhealthy_states_are_not_steady(monkeypatch):
    monkeypatch.setattr(early_stopping, "find_warnings", lambda _: ["too faint"])
    learner = Learner(images_of(), params_of())
    assert len(list(learner.iterate())) == ITERATIONS
    assert learner.state.distances == []


@pytest.mark.usefixtures("steady")
def test_a_stopped_job_resumes_bit_identical_and_ends_as_early():
    params = params_of(keep_nearest=True)
    stops, states = (WARM_UP + 5, STEADY_AT, STEADY_AT + 3, LAST), []

    def keep(progress, state):
        if progress.step in stops:
            states.append(through_checkpoint_file(state, params))
            assert (states[-1].distances, states[-1].steady_at) == (state.distances, state.steady_at)

    whole = learn(images_of(), params, callback=keep)
    assert len(states) == len(stops)
    for resumed in states:
        assert_same(learn(images_of(), params, state=resumed), whole)


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("iterations", [ITERATIONS, ITERATIONS + 1, 2 * ITERATIONS])
def test_a_job_that_ended_early_goes_on_only_if_it_is_not_to_stop_early(iterations):
    ended = learn(
        images_of(), params_of(), callback=lambda one, state: one.step == LAST - 1 and state.keep_good_state()
    )
    assert ended.good_states[-1].numbers["steady_at"] == STEADY_AT
    assert list(Learner(images_of(), params_of(), ended).iterate()) == []
    further = Learner(images_of(), params_of(iterations=iterations, stop_when_steady=False), ended)
    assert ["steady_at" in one.numbers for one in further.state.good_states] == [False]
    assert [one.iteration for one in further.iterate()] == list(range(LAST + 1, iterations + 1))
    assert further.state.steady_at is None


@pytest.mark.usefixtures("steady")
def test_a_best_state_of_the_cool_down_is_forgotten_when_learning_returns_to_before_it(monkeypatch):
    monkeypatch.setattr(best_state, "FIRST_COMPARED", 0.8)  # which one of its few comparisons has passed
    monkeypatch.setattr(best_state, "find_warnings", lambda _: [])
    learner = Learner(images_of(), params_of(keep_nearest=True))
    for progress in learner.iterate():
        if progress.recoveries:
            break
        if progress.iteration == LAST - 1:
            assert learner.state.best_iteration > STEADY_AT
            kill(learner.state)
    assert (progress.recoveries, learner.state.steady_at) == (1, None)
    assert learner.state.best is None


def test_contrastive_divergence_cannot_stop_early():
    with pytest.raises(ValidationError, match="must be false with contrastive") as refused:
        params_of(contrastive=True, boundary="padded")
    assert refused.value.errors()[0]["loc"] == ("stop_when_steady",)
