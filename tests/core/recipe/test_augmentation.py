"""What the learner observes: turned, at every stride phase, and never pictures without a unit to learn from."""

from functools import partial

import pytest
import torch
from training import PARAMS, pictures, with_

from core.pictures.known_pixels import NothingToLearn
from core.pictures.orientations import turned
from core.pictures.training_set import TrainingSet
from core.recipe.augmentation import draw_learnable
from core.recipe.learner import Learner, learn
from core.theory.learning import architecture_of, observed_units


def observed_by(learner, updates, monkeypatch):
    """Return what `updates` iterations observe."""
    seen, observe = [], learner.algorithm.observe

    def spy(generator):
        seen.append(observe(generator))
        return seen[-1]

    monkeypatch.setattr(learner.algorithm, "observe", spy)
    for _ in range(updates):
        learner.update()
    return seen


def test_with_random_lattice_the_pictures_are_seen_at_every_stride_phase(monkeypatch):
    images = pictures(count=1)
    seen = observed_by(Learner(images, with_(random_lattice=True)), 24, monkeypatch)
    crops = [images[..., down:, right:] for down in range(2) for right in range(2)]
    found = {next(index for index, crop in enumerate(crops) if torch.equal(crop, one)) for one in seen}
    assert found == {0, 1, 2, 3}


def test_each_picture_is_shown_in_each_orientation(monkeypatch):
    params, images = with_(orientations=("0", "180", "flipped-90")), pictures()
    learner = Learner(images, params)
    shown = [[turned(image, one) for one in params.orientations] for image in images]
    for picture in range(2):
        found = [one[picture] for one in observed_by(learner, 12, monkeypatch)]
        which = [next(i for i, known in enumerate(shown[picture]) if torch.equal(known, one)) for one in found]
        assert set(which) == {0, 1, 2}


def test_windows_are_drawn_again_until_a_unit_sees_known_pixels_alone():
    images = pictures(count=1, size=64)
    images[..., 12:, :] = images[..., 12:] = torch.nan  # one window in about 2800 lies in what is left
    params = with_(image_size=64, patch_size=12, batch_size=1)
    draw = partial(draw_learnable, TrainingSet.of(images), params, architecture_of(params, 1))
    drawn = draw(torch.Generator().manual_seed(1))
    assert observed_units(drawn, architecture_of(params, 1), "valid").any()


def test_parts_smaller_than_every_units_window_are_nothing_to_learn():
    images = pictures(count=1)
    images[..., ::4, :] = torch.nan
    with pytest.raises(NothingToLearn, match="window of 9 pixels"):
        learn(images, PARAMS)
