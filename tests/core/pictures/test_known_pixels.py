"""Pictures with unknown pixels, which are not learned from."""

import numpy as np
import pytest
import torch

from core.pictures.images import standardize
from core.pictures.known_pixels import NothingToLearn, filled, is_partial, seeing_units
from core.pictures.masks import some_window_known
from core.pictures.training_set import TrainingSet, measure_levels

HOLE = (..., slice(2, 6), slice(3, 5))


def holed(size=16, count=2, channels=3):
    images = 128 + 30 * torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))
    images[HOLE] = torch.nan
    return images


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (3, 1), (5, 2), (7, 4)])
def test_a_unit_sees_its_window_and_no_unit_counts_whose_window_touches_an_unknown_pixel(window, stride):
    unknown = holed()[:, :1].isnan()
    windows = unknown[0, 0].unfold(0, window, stride).unfold(1, window, stride)
    expected = ~windows.flatten(2).any(dim=2)
    found = seeing_units(unknown, window, stride)
    assert torch.equal(found[0, 0], expected)
    assert torch.equal(found[1, 0], expected)
    assert some_window_known(~unknown[0, 0].numpy(), window, stride) == bool(expected.any())


def test_a_window_may_lie_partly_in_the_padding():
    known = np.zeros((8, 8), bool)
    assert not some_window_known(known, 3, 1, padding=2)
    known[:, 0] = True
    assert not some_window_known(known, 3, 1, padding=1)
    assert some_window_known(known, 3, 1, padding=2)
    assert not some_window_known(known, 9, 1)


def test_unknown_pixels_are_filled_from_the_same_picture_and_known_ones_are_kept():
    images = holed()
    whole, known = filled(images), ~images.isnan()
    assert not is_partial(whole)
    assert torch.equal(whole[known], images[known])
    for one, before in zip(whole, images, strict=True):
        colours = {tuple(colour.tolist()) for colour in before.flatten(1).T}
        assert all(tuple(colour.tolist()) in colours for colour in one.flatten(1).T)
    assert filled(whole) is whole
    assert torch.equal(filled(torch.full((1, 1, 4, 4), torch.nan)), torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("own_mean", [False, True])
def test_levels_are_those_of_the_known_pixels(own_mean):
    """Two pictures of one colour for every known pixel: as if the hole had been cut away."""
    images = holed()
    levels, std = measure_levels(images, 50.0, own_mean)
    cut = images.flatten(2)[:, :, ~images[0, 0].isnan().flatten()][..., None]  # (2, 3, pixels, 1)
    standardized, expected = standardize(cut.double(), 50.0, own_mean)
    torch.testing.assert_close(levels.mean.double(), expected.mean)
    assert levels.gain == pytest.approx(expected.gain)
    assert std == pytest.approx(50.0)
    shown = levels.standardize(images, own_mean)
    assert torch.equal(shown.isnan(), images.isnan())
    torch.testing.assert_close(shown[~images.isnan()], standardized.float().flatten(), rtol=1e-5, atol=1e-4)
    low, high = levels.box.project(shown).isnan(), images.isnan()
    assert torch.equal(low, high)
    training = TrainingSet.of(shown)
    assert training.std == pytest.approx(50.0, rel=1e-5)
    assert torch.equal(training.box.low.flatten(), shown.nan_to_num(torch.inf).amin(dim=(0, 2, 3)))


def test_pictures_of_which_nothing_is_known_leave_nothing_to_learn():
    empty = torch.full((3, 4, 4), torch.nan)
    with pytest.raises(NothingToLearn, match="every pixel"):
        measure_levels([empty])
    levels, _ = measure_levels([empty, *holed()])
    torch.testing.assert_close(levels.mean, measure_levels(holed())[0].mean)
