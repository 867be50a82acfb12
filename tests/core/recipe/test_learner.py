"""Learning with the complete recipe: what it learns, in which order, and that it resumes bit-identically."""

from itertools import pairwise

import pytest
import torch
from nets import each_once
from training import (
    CPU,
    PARAMS,
    Sabotage,
    assert_same,
    kill,
    pictures,
    stop_at,
    through_checkpoint_file,
    through_snapshot,
    with_,
)

from core.engine.parallel import threads
from core.recipe.learner import Learner, learn
from core.recipe.presets import PRESETS
from core.recipe.state import TrainingState
from core.theory.learning import architecture_of


def test_learning_reproduces_the_pictures_pattern():
    """The chains begin blank and end with much of the pictures' contrast and their stripes."""
    images = pictures()
    state = learn(images, with_(iterations=40, langevin_steps=10))
    stripes = images.mean(dim=0)
    assert state.chains.std() > 0.3 * images.std()
    spectrum = torch.fft.fft2(state.chains).abs().mean(dim=(0, 1))
    expected = torch.fft.fft2(stripes).abs().mean(dim=0)
    assert torch.corrcoef(torch.stack([spectrum.flatten(), expected.flatten()]))[0, 1] > 0.5


def test_a_texture_is_learned_from_windows_of_a_larger_picture():
    """Chains as large as a window end with the stripes of the whole picture."""
    images = pictures(count=1, size=60)
    params = with_(image_size=60, patch_size=20, batch_size=2, iterations=30, langevin_steps=10)
    state = learn(images, params)
    assert state.chains.shape == (2, 1, 20, 20)
    assert state.chains.std() > 0.3 * images.std()
    (spectrum, expected) = (torch.fft.fft2(one).abs().mean(dim=(0, 1)) for one in (state.chains, images[..., :20, :20]))
    assert torch.corrcoef(torch.stack([spectrum.flatten(), expected.flatten()]))[0, 1] > 0.5


@pytest.mark.parametrize("boundary", ["valid", "torus"])
@pytest.mark.parametrize("layerwise", [True, False])
def test_learning_reports_each_iteration_in_order(layerwise, boundary):
    params = with_(iterations=4, layerwise=layerwise, boundary=boundary)
    told = []
    state = learn(pictures(), params, callback=lambda progress, _: told.append(progress))
    assert [progress.step for progress in told] == list(range(1, params.stages * 4 + 1))
    assert [(progress.stage, progress.iteration) for progress in told] == [
        (stage, iteration) for stage in range(1, params.stages + 1) for iteration in range(1, 5)
    ]
    assert told[-1].fraction == 1
    assert all(earlier.fraction < later.fraction for earlier, later in pairwise(told))
    assert state.net.architecture == architecture_of(params, channels=1)
    assert {progress.recoveries for progress in told} == {0}


def test_a_callback_that_returns_true_stops_learning_there():
    told = []

    def callback(progress, _):
        told.append(progress.step)
        return progress.step == 7

    state = learn(pictures(), PARAMS, callback=callback)
    assert told == list(range(1, 8))
    assert state.iteration == 7


def test_an_interruption_within_the_langevin_steps_ends_learning():
    class StopNowError(Exception):
        pass

    def stop():
        raise StopNowError

    learner = Learner(pictures(), PARAMS, check_interrupt=stop)
    with pytest.raises(StopNowError):
        next(learner.iterate())


def test_an_interrupted_learner_says_if_its_state_can_be_gone_on_from(monkeypatch):
    """Not if the interrupt comes between the update and the judgement of its state, which would be left out."""

    def stop(*_):
        raise InterruptedError

    learner = Learner(pictures(), PARAMS)
    iterations = learner.iterate()
    next(iterations)
    assert learner.between_iterations
    monkeypatch.setattr(learner.best_state, "consider", stop)
    with pytest.raises(InterruptedError):
        next(iterations)
    assert not learner.between_iterations
    learner = Learner(pictures(), PARAMS, check_interrupt=stop)
    before = learner.state.generator.get_state()
    with pytest.raises(InterruptedError):
        next(learner.iterate())
    assert learner.between_iterations
    assert torch.equal(learner.state.generator.get_state(), before)


def test_the_seed_determines_everything():
    params = with_(iterations=4)
    one, same = learn(pictures(), params), learn(pictures(), params)
    assert_same(one, same)
    other = learn(pictures(), with_(params, seed=6))
    assert not torch.equal(one.chains, other.chains)
    assert not torch.equal(one.net.weights[0], other.net.weights[0])


def test_learning_does_not_depend_on_the_number_of_threads():
    """A job has all cores while it is alone, and its share beside others."""
    images = 50 * torch.randn(1, 1, 96, 96, generator=torch.Generator().manual_seed(1))
    params = PRESETS["quick"].model_copy(update={"seed": 1, "iterations": 4, "precision": "float32"})

    def learned_on(count: int) -> TrainingState:
        with threads(count):
            return learn(images, params)

    of_two, of_one = learned_on(2), learned_on(1)
    assert of_two.optimizer.scales == of_one.optimizer.scales
    assert_same(of_two, of_one)


def test_the_global_generator_is_not_used():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        one = learn(pictures(), with_(iterations=4))
        torch.manual_seed(2)
        assert_same(one, learn(pictures(), with_(iterations=4)))


def test_learning_does_not_advance_the_global_generator():
    before = torch.get_rng_state()
    params = with_(iterations=4)
    state = learn(pictures(), params, callback=Sabotage(kill, step=2))
    assert state.recoveries == 1
    through_checkpoint_file(state, params)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_must_be_set():
    with pytest.raises(ValueError, match="seed must be set"):
        learn(pictures(), with_(seed=None))


SHORT = with_(iterations=8)
INTERRUPTIONS = [1, 5, 8, 9, 16]  # 8 ends the first stage, 16 the second


@pytest.fixture(scope="module")
def never_stopped():
    return learn(pictures(), SHORT)


@each_once("resume, step", [through_snapshot, through_checkpoint_file], INTERRUPTIONS)
def test_resumed_learning_ends_bit_identical_to_one_never_stopped(never_stopped, step, resume):
    stopped = learn(pictures(), SHORT, callback=stop_at(step))
    assert stopped.iteration + stopped.stage * SHORT.iterations == step
    assert_same(learn(pictures(), SHORT, state=resume(stopped, SHORT)), never_stopped)


@pytest.mark.parametrize(
    "settings",
    [
        {"layerwise": False},
        {"boundary": "valid"},
        {"initialization": "noise"},
        {"initialization": "data"},
        {"patch_size": 12, "batch_size": 1, "layerwise": False},
        {"num_chains": 1, "langevin_steps": 1},
    ],
    ids=str,
)
def test_resumed_learning_is_bit_identical_under_other_settings(settings):
    params = with_(iterations=5, **settings)
    whole = learn(pictures(), params)
    for step in (2, 5):
        stopped = learn(pictures(), params, callback=stop_at(step))
        assert_same(learn(pictures(), params, state=through_checkpoint_file(stopped, params)), whole)


def test_learning_resumed_again_and_again_ends_bit_identical(never_stopped):
    state = None
    for step in range(3, SHORT.stages * SHORT.iterations, 3):
        state = learn(pictures(), SHORT, state=state, callback=stop_at(step))
        state = through_checkpoint_file(state, SHORT)
    assert_same(learn(pictures(), SHORT, state=state), never_stopped)


def test_a_snapshot_does_not_change_with_later_learning(never_stopped):
    """Snapshots are copies: taken in passing, read only later."""
    kept = []

    def keep(progress, state):
        if progress.step == 5:
            kept.append(state.snapshot())

    learn(pictures(), SHORT, callback=keep)
    resumed = TrainingState.restored(kept[0], architecture_of(SHORT, 1).truncated(1), CPU)
    assert_same(learn(pictures(), SHORT, state=resumed), never_stopped)


@pytest.mark.parametrize("layerwise", [True, False])
def test_finished_learning_continues_in_its_last_stage_if_iterations_are_raised(layerwise):
    params = with_(iterations=4, layerwise=layerwise)
    finished = through_checkpoint_file(learn(pictures(), params), params)
    assert finished.stage == params.stages
    told = []
    state = learn(pictures(), with_(params, iterations=7), state=finished, callback=lambda one, _: told.append(one))
    assert [(progress.stage, progress.iteration) for progress in told] == [(params.stages, i) for i in (5, 6, 7)]
    assert told[-1].fraction == 1
    assert (state.stage, state.iteration) == (params.stages, 7)


def test_finished_learning_does_nothing_more(never_stopped):
    told = []
    finished = through_checkpoint_file(never_stopped, SHORT)
    assert_same(learn(pictures(), SHORT, state=finished, callback=lambda one, _: told.append(one)), never_stopped)
    assert told == []


def test_chains_that_begin_as_noise_are_not_the_noise_that_the_weights_began_with():
    state = Learner(pictures(), with_(initialization="noise")).state
    weights = state.net.weights[0].detach().flatten()
    noise = state.chains.flatten()[: len(weights)]
    assert abs(torch.corrcoef(torch.stack([weights, noise]))[0, 1]) < 0.5


def test_learning_on_colour_pictures():
    state = learn(pictures(channels=3), with_(iterations=3))
    assert state.chains.shape == (2, 3, 16, 16)
    assert state.net.weights[0].shape == (4, 3, 5, 5)
