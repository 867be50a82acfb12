"""The last stage of learning by windows: one chain as large as the training picture, compared with the whole of it."""

import math

import pytest
import torch
from training import OF_WINDOWS, assert_same, learned_with_checkpoints, through_checkpoint_file

from core.engine import ReferenceEngine
from core.pictures.patchwork import patchwork
from core.recipe.learner import Learner, learn
from core.recipe.schedule import learning_rate
from core.schemas.learning import LearningParams
from core.schemas.orientations import turnable_side
from core.schemas.stages import CANVAS_RATE, MAX_WHOLE_SIZE

WHOLE, WINDOW, WINDOWS, CANVAS = 41, 16, 5, 4
TEXTURE = {"random_lattice": True, "bounded": True, "picture_noise": 5.0}


def params_of(**settings):
    given = {"image_size": WHOLE, "patch_size": WINDOW, "iterations": WINDOWS, "canvas_iterations": CANVAS}
    return LearningParams(**{**OF_WINDOWS, **given, **settings})


def images_of(count=1, side=WHOLE):
    images = 20 * torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(1)).cumsum(dim=3) / 4
    return images - images.mean()


def stopped_at(params, step, images):
    return learn(images, params, callback=lambda progress, _: progress.step == step)


def test_the_canvas_follows_the_windows():
    params = params_of()
    learner, seen = Learner(images_of(), params), []
    for progress in learner.iterate():
        seen.append((progress.stage, progress.iteration, progress.iterations, progress.step))
        side = 18 if progress.stage == 1 else 42  # multiples of the stride
        chains = params.num_chains if progress.stage == 1 else 1
        assert learner.state.chains.shape == (chains, 1, side, side)
        assert progress.stages == 2
        assert progress.fraction == (progress.stage - 1 + progress.iteration / progress.iterations) / 2
    windows = [(1, one, WINDOWS, one) for one in range(1, WINDOWS + 1)]
    assert seen == windows + [(2, one, CANVAS, WINDOWS + one) for one in range(1, CANVAS + 1)]


def test_layers_that_are_grown_one_by_one_are_all_learned_before_the_canvas():
    params = params_of(layerwise=True)
    seen = [(one.stage, one.iteration, one.step) for one in Learner(images_of(), params).iterate()]
    steps = [(1, one) for one in range(1, WINDOWS + 1)] + [(2, one) for one in range(1, WINDOWS + 1)]
    steps += [(3, one) for one in range(1, CANVAS + 1)]
    assert seen == [(*one, step) for step, one in enumerate(steps, start=1)]


class Spy(ReferenceEngine):
    """Keeps where the chains began, and the pictures that they were compared with."""

    def __init__(self):
        self.began, self.observed = [], []

    def run(self, net, images, *given, **settings):
        self.began.append(images.clone())
        return super().run(net, images, *given, **settings)

    def gradients(self, net, observed, synthesized):
        self.observed.append(observed.images.clone())
        return super().gradients(net, observed, synthesized)


def test_it_begins_as_a_patchwork_of_the_windows_chains_and_sees_the_whole_picture():
    params, spy = params_of(), Spy()
    images = images_of()
    learner = Learner(images, params, engine=spy)
    for progress in learner.iterate():
        if progress.step == WINDOWS:
            break
    chains, net, generator = learner.state.chains.clone(), learner.state.net, torch.Generator()
    generator.set_state(learner.state.generator.get_state())
    laid = patchwork(chains, 42, 42, 3, generator)
    next(iter(learner.iterate()))
    assert torch.equal(spy.began[-1], laid)
    assert torch.equal(spy.observed[-1], images)
    assert spy.observed[-2].shape == (2, 1, WINDOW, WINDOW)
    assert learner.state.net is net, "the net goes on"


def test_the_whole_pictures_are_augmented_as_windows_are_and_drawn_one_at_a_time():
    params, spy = params_of(**TEXTURE), Spy()
    learner = Learner(images_of(3), params, engine=spy)
    seen = [spy.observed[-1] for progress in learner.iterate() if progress.stage == 2]
    assert all(one.shape[0] == 1 and WHOLE - 2 <= min(one.shape[2:]) <= WHOLE for one in seen)
    assert len({one.sum().item() for one in seen}) == CANVAS


WAYS = {
    "plain": {},
    "texture": TEXTURE,
    "spectral": {**TEXTURE, "optimizer": "spectral", "keep_nearest": True},
    "grown": {"layerwise": True},
    "several pictures": {"batch_size": 3},
    "turned and flipped": {"orientations": ("90", "flipped-0")},
    "by any angle": {"orientations": "any", "patch_size": 14, "random_lattice": True},
    "category": {"top": "category"},
}


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS.keys())
def test_it_resumes_bit_identical_from_windows_from_their_end_and_from_the_canvas(settings):
    params, images = params_of(**settings), images_of(2)
    before = params.layer_stages * WINDOWS
    whole, states = learned_with_checkpoints(images, params, (2, before, before + 1, before + CANVAS))
    for resumed in states:
        assert_same(learn(images, params, state=resumed), whole)
    assert whole.recoveries == 0
    assert all(parameter.isfinite().all() for parameter in whole.net.parameters())


def test_pictures_turned_by_any_angle_are_seen_as_far_as_they_are_known():
    params, spy = params_of(orientations="any", patch_size=14), Spy()
    list(Learner(images_of(), params, engine=spy).iterate())
    side = params.of_stage(1).side
    assert spy.observed[-1].shape == (1, 1, side, side)
    assert spy.observed[-1].isfinite().all()
    assert turnable_side(side) <= WHOLE < turnable_side(side + 2)


def test_a_finished_canvas_goes_on_with_more_iterations_and_not_with_as_many():
    params, images = params_of(), images_of()
    ended = learn(images, params)
    assert list(Learner(images, params, through_checkpoint_file(ended, params)).iterate()) == []
    further = params_of(canvas_iterations=CANVAS + 2)
    seen = list(Learner(images, further, through_checkpoint_file(ended, params)).iterate())
    assert [(one.stage, one.iteration) for one in seen] == [(2, CANVAS + 1), (2, CANVAS + 2)]


def test_the_canvas_has_a_schedule_of_its_own_at_half_the_rate():
    params = params_of(learning_rate=1e-3, iterations=40, canvas_iterations=20)
    learner = Learner(images_of(), params)
    rates = [progress.learning_rate for progress in learner.iterate() if progress.stage == 2]
    of_canvas = params_of(learning_rate=CANVAS_RATE * 1e-3, iterations=20)
    assert rates == [pytest.approx(learning_rate(of_canvas, one)) for one in range(1, 21)]


def test_a_failure_on_the_canvas_rolls_back_to_the_canvas():
    params, spoiled = params_of(canvas_iterations=8), []

    def spoil(progress, state):
        if progress.stage == 2 and progress.iteration == 3 and not spoiled:
            spoiled.append(True)
            state.net.biases[0].data.fill_(-1e6)

    state = learn(images_of(), params, callback=spoil)
    assert (state.recoveries, state.stage, state.iteration) == (1, 2, 8)
    assert state.chains.shape[-1] == 42
    assert math.isfinite(state.chains.square().mean())


@pytest.mark.parametrize(
    ("image_size", "angles", "patch_size"),
    [
        (MAX_WHOLE_SIZE, ("0",), None),
        (MAX_WHOLE_SIZE + 1, ("0",), MAX_WHOLE_SIZE),
        (4096, "any", MAX_WHOLE_SIZE),
        (512, "any", 358),
    ],
)
def test_it_is_as_large_as_the_picture_up_to_a_limit(image_size, angles, patch_size):
    params = params_of(image_size=image_size, orientations=angles)
    assert (params.of_stage(1).patch_size, params.of_stage(1).side) == (patch_size, patch_size or image_size)


def test_a_checkpoint_of_the_canvas_is_restored_with_its_chain_and_the_moments_of_the_biases():
    params, images = params_of(optimizer="spectral"), images_of()
    state = through_checkpoint_file(stopped_at(params, WINDOWS + 2, images), params)
    assert state.chains.shape == (1, 1, 42, 42)
    moved_by_moments = {id(one) for one in state.net.biases}
    assert {id(list(state.net.parameters())[index]) for index in state.optimizer.moments} == moved_by_moments
