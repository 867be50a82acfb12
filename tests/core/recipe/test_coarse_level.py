"""The coarse level: the picture made smaller is learned first, and the canvas begins as what was synthesized there."""

import math

import pytest
import torch
from training import OF_WINDOWS, assert_same, learned_with_checkpoints, through_checkpoint_file

from core.engine import ReferenceEngine
from core.pictures.images import resize_periodic, rms, standardize
from core.pictures.training_set import TrainingSet
from core.recipe import coarse_level
from core.recipe import learner as learner_module
from core.recipe.coarse_level import MIN_STD, CoarseLevel, enlarged, shrunk
from core.recipe.learner import Learner, learn
from core.recipe.recovery import MAX_RECOVERIES
from core.recipe.rendering import render_chains
from core.schemas.learning import LearningParams
from core.theory.learning import architecture_of

WHOLE, WINDOW, COARSE_SIDE = 64, 16, 32
COARSE, WINDOWS, CANVAS = 4, 5, 3
TEXTURE = {
    "random_lattice": True,
    "bounded": True,
    "picture_noise": 5.0,
    "contrast": 50.0,
    "even_light": 16.0,
    "optimizer": "spectral",
}


def params_of(**settings):
    given = {
        "image_size": WHOLE,
        "patch_size": WINDOW,
        "coarse_iterations": COARSE,
        "coarse_factor": 2,
        "iterations": WINDOWS,
        "canvas_iterations": CANVAS,
    }
    return LearningParams(**{**OF_WINDOWS, **given, **settings})


def images_of(count=1, channels=1):
    images = torch.randn(count, channels, WHOLE, WHOLE, generator=torch.Generator().manual_seed(1))
    images = 20 * images.cumsum(dim=3) / 4 + 9 * images
    return images - images.mean(dim=(2, 3), keepdim=True)


def level_of(images, params):
    return CoarseLevel.of(TrainingSet.of(images), params.of_stage(0), architecture_of(params, images.shape[1]))


def stopped_at(params, step, images):
    return learn(images, params, callback=lambda progress, _: progress.step == step)


def test_its_pictures_are_means_of_the_large_ones_stretched_to_the_same_contrast(monkeypatch):
    images = 2 * images_of(2)
    level = level_of(images, params_of(contrast=50.0))
    assert level is not None
    means = images.view(2, 1, COARSE_SIDE, 2, COARSE_SIDE, 2).mean(dim=(3, 5))
    found = level.pictures.read([0, 1])
    assert torch.allclose(shrunk(images, COARSE_SIDE), means, atol=1e-4)
    assert rms(found) == pytest.approx(50, rel=1e-3)
    assert level.pictures.std == pytest.approx(50, rel=1e-3)
    assert torch.allclose(level.in_full_contrast(found), means, atol=1e-3)
    assert torch.equal(level.pictures.read([1]), found[1:]), "each is read alone alike"
    monkeypatch.setattr(coarse_level, "KEPT", 1)
    of_many = level_of(images, params_of(contrast=50.0))
    assert torch.allclose(of_many.in_full_contrast(of_many.pictures.read([1, 0])), means[[1, 0]], atol=1e-3)
    assert (level.pictures.box.project(found) - found).abs().max() < 1e-3
    plain = level_of(images, params_of())
    assert plain is not None
    assert plain.gain == 1.0


def test_a_pixel_of_which_most_is_unknown_is_unknown_and_others_are_means_of_what_is_known():
    images = images_of()
    images[..., 5, 7] = torch.nan
    images[..., 20, 8] = images[..., 20, 9] = images[..., 21, 9] = torch.nan  # three of four
    level = level_of(images, params_of())
    assert level is not None
    assert level.pictures.read([0]).isnan().nonzero().tolist() == [[0, 0, 10, 4]]
    assert level.in_full_contrast(level.pictures.read([0]))[0, 0, 2, 3] == pytest.approx(
        images[0, 0, 4:6, 6:8].nanmean().item(), abs=1e-3
    )
    images[..., 9:] = torch.nan
    assert level_of(images, params_of()) is None, "no unit sees known pixels alone"
    assert next(iter(Learner(images, params_of()).iterate())).stage == 2


def test_it_comes_first_and_the_canvas_begins_as_its_picture_enlarged():
    class Spy(ReferenceEngine):
        began = None

        def run(self, net, images, *given, **settings):
            Spy.began = images.clone()
            return super().run(net, images, *given, **settings)

    params, seen, picture = params_of(**TEXTURE), [], None
    images, _ = standardize(images_of(), 50.0)
    learner = Learner(images, params, engine=Spy())
    for progress in learner.iterate():
        seen.append((progress.stage, progress.iteration, progress.step))
        state = learner.state
        assert state.chains.shape == ((1, 1, 33, 33), (2, 1, 18, 18), (1, 1, 66, 66))[progress.stage - 1]
        if progress.step == COARSE:
            shown = render_chains(state.net, state.chains, learner.stage_params, learner.engine)
            picture = learner.in_full_contrast(shown)
        if progress.step == COARSE + WINDOWS:
            assert picture is not None
            assert torch.equal(state.coarse_picture, picture)
            generator = torch.Generator()
            generator.set_state(state.generator.get_state())
            expected = resize_periodic(picture[0], 66, 66)[None] + 5.0 * torch.randn(1, 1, 66, 66, generator=generator)
        if progress.step == COARSE + WINDOWS + 1:
            assert torch.equal(Spy.began, expected)
    stages = ((1, COARSE), (2, WINDOWS), (3, CANVAS))
    steps = [(stage, one) for stage, count in stages for one in range(1, count + 1)]
    assert seen == [(*one, step) for step, one in enumerate(steps, start=1)]


def test_an_enlarged_picture_stays_periodic_and_keeps_its_shapes():
    row, column = torch.meshgrid(torch.arange(30.0), torch.arange(30.0), indexing="ij")
    wave = 20 * torch.sin(2 * math.pi * (row + 2 * column) / 30)[None, None]
    row, column = torch.meshgrid(torch.arange(120.0), torch.arange(120.0), indexing="ij")
    same = 20 * torch.sin(2 * math.pi * ((row - 1.5) + 2 * (column - 1.5)) / 120)[None, None]  # centres of pixels
    assert (enlarged(wave, 120, 0.0, torch.Generator(), periodic=True) - same).abs().max() < 0.5
    noisy = enlarged(wave, 120, 7.0, torch.Generator().manual_seed(0), periodic=True)
    assert rms(noisy - same) == pytest.approx(7, rel=0.05)


def test_the_windows_are_learned_as_without_it():
    """The same seed gives the same net and the same windows; the level before changes the canvas alone."""
    with_it, without = params_of(**TEXTURE), params_of(**TEXTURE, coarse_iterations=0)
    one = stopped_at(with_it, COARSE + WINDOWS, images_of())
    other = stopped_at(without, WINDOWS, images_of())
    assert torch.equal(one.chains, other.chains)
    assert all(torch.equal(a, b) for a, b in zip(one.net.parameters(), other.net.parameters(), strict=True))


WAYS = {
    "texture": TEXTURE,
    "plain": {},
    "grown": {"layerwise": True},
    "several pictures": {"batch_size": 3, "keep_nearest": True},
    "turned and flipped": {"orientations": ("90", "flipped-0"), "optimizer": "spectral"},
    "by any angle": {"orientations": "any", "patch_size": 14, "random_lattice": True},
}


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS.keys())
def test_it_resumes_bit_identical_from_every_stage(settings):
    params, images = params_of(**settings), images_of(2)
    windows = COARSE + (len(OF_WINDOWS["layers"]) if params.layerwise else 1) * WINDOWS
    steps = (2, COARSE, COARSE + 2, windows, windows + 1, windows + CANVAS)
    whole, states = learned_with_checkpoints(images, params, steps)
    for resumed in states:
        assert_same(learn(images, params, state=resumed), whole)
    assert all(parameter.isfinite().all() for parameter in whole.net.parameters())


def test_pictures_of_which_nothing_is_left_have_no_coarse_level():
    """A checkerboard of single pixels becomes grey all over, up to what is less than a grey level."""
    row, column = torch.meshgrid(torch.arange(WHOLE), torch.arange(WHOLE), indexing="ij")
    board = 50.0 * ((row + column) % 2 * 2 - 1)[None, None]
    for images in (board, board + 0.5 * MIN_STD * ((row // 8 + column // 8) % 2 * 2 - 1)):
        stages = [progress.stage for progress in Learner(images, params_of(**TEXTURE)).iterate()]
        assert stages == [2] * WINDOWS + [3] * CANVAS
    seen = board + 4 * MIN_STD * ((row // 8 + column // 8) % 2 * 2 - 1)
    assert next(iter(Learner(seen, params_of(**TEXTURE)).iterate())).stage == 1


def test_a_failure_in_it_is_rolled_back_within_it_and_counted():
    spoiled = []

    def spoil(progress, state):
        if progress.step == 2 and not spoiled:
            spoiled.append(True)
            state.net.biases[0].data.fill_(-1e6)

    state = learn(images_of(), params_of(), callback=spoil)
    assert (state.all_recoveries, state.recoveries, state.stage, state.iteration) == (1, 0, 3, CANVAS)
    assert state.learning_rate_scale == 1.0, "the net of the full size is another"


def test_if_it_diverges_learning_goes_on_without_it():
    def spoil(progress, state):
        if progress.stage == 1:
            state.net.biases[0].data.fill_(-1e6)

    learner, seen = Learner(images_of(), params_of()), []
    for progress in learner.iterate():
        seen.append((progress.stage, progress.iteration, progress.recoveries))
        spoil(progress, learner.state)
    assert [one[:2] for one in seen[-WINDOWS - CANVAS :]] == [(2, n + 1) for n in range(WINDOWS)] + [
        (3, n + 1) for n in range(CANVAS)
    ]
    assert (seen[-1][2], learner.state.recoveries) == (MAX_RECOVERIES, 0)
    resumed = through_checkpoint_file(learner.state, learner.params)
    assert resumed.all_recoveries == MAX_RECOVERIES


@pytest.mark.parametrize("orientations", [("0",), "any"])
def test_the_canvas_begins_with_elements_of_their_own_size(orientations, monkeypatch):
    """Waves of 16 pixels are 8 on the coarse level and 16 on the canvas, also if that is a part of the picture."""
    monkeypatch.setattr(coarse_level, "shrunk", lambda pictures, _: pictures[..., ::2, ::2])
    column = torch.arange(WHOLE).float()
    images = (30 * torch.sin(2 * math.pi * column / 16)).expand(1, 1, WHOLE, WHOLE)
    params = params_of(orientations=orientations, initialization="data", coarse_iterations=1, langevin_steps=1)
    began: list[torch.Tensor] = []

    class Spy(ReferenceEngine):
        def run(self, _, images, *_given, **_settings):
            began.append(images.clone())
            return images

    monkeypatch.setattr(learner_module, "render_chains", lambda _, chains, *_given: chains)
    for _ in Learner(images, params, engine=Spy()).iterate():
        pass
    row = began[-1][0, 0].mean(dim=0)
    power = torch.fft.rfft(row - row.mean()).abs()
    assert len(row) / power.argmax() == pytest.approx(16, rel=0.15)


def test_an_interrupt_while_the_canvas_is_laid_leaves_the_windows_as_they_were():
    params, images = params_of(coarse_iterations=0), images_of()
    whole = learn(images, params)

    class Stop(Exception):
        pass

    learner = Learner(images, params)
    for progress in learner.iterate():
        if progress.step == WINDOWS:
            break

    def stop():
        raise Stop

    learner.check_interrupt = stop
    with pytest.raises(Stop):
        next(iter(learner.iterate()))
    assert (learner.state.stage, learner.state.iteration) == (0, WINDOWS)
    resumed = through_checkpoint_file(learner.state, params)
    assert_same(learn(images, params, state=resumed), whole)
