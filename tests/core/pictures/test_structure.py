"""The structure ratio against pictures whose structure is known."""

from functools import cache
from pathlib import Path

import pytest
import skimage
import torch
import torch.nn.functional as F
from PIL import Image

from core.pictures.images import read_picture
from core.pictures.structure import MIN_SIDE, brightness, structure_ratio

SIDE = 96


@cache
def gravel(side=192):
    return read_picture((Path(skimage.__file__).parent / "data" / "gravel.png").read_bytes(), side, 1)


def part(top, left):
    return gravel()[:, top : top + SIDE, left : left + SIDE]


def random_phase(picture, seed=0):
    """The picture's power spectrum under the phases of noise: its patches' structure is gone."""
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed))
    phases = torch.fft.rfft2(noise)
    spectrum = torch.fft.rfft2(picture - picture.mean()).abs() * phases / phases.abs()
    return torch.fft.irfft2(spectrum, picture.shape[-2:]) + picture.mean()


def test_parts_of_one_picture_differ_about_as_much_as_its_parts_do():
    assert structure_ratio(part(40, 50), gravel()) == pytest.approx(0.9, abs=0.15)


@pytest.mark.parametrize(
    "change",
    [
        random_phase,
        lambda one: F.avg_pool2d(one, 3, 1, 1),
        lambda one: one.transpose(1, 2).mean(dim=2, keepdim=True).expand_as(one),
    ],
)
def test_another_structure_is_farther_away(change):
    assert structure_ratio(change(part(40, 50)), gravel()) > 1.4


def test_more_change_is_farther_away():
    blurred = [F.avg_pool2d(part(40, 50), side, 1, side // 2) for side in (1, 3, 5)]
    ratios = [structure_ratio(one, gravel()) for one in blurred]
    assert ratios == sorted(ratios)
    assert ratios[-1] > 2 * ratios[0]


def test_many_pictures_are_compared_by_all_their_pieces():
    pair = torch.stack([part(40, 50), random_phase(part(40, 50))])
    alone = [structure_ratio(one, gravel()) for one in pair]
    assert structure_ratio(pair, gravel()) == pytest.approx(sum(alone) / 2, rel=1e-4)


def test_a_picture_of_the_same_size_is_compared_by_pieces_of_half_its_side():
    assert structure_ratio(gravel(), gravel()) < 1.1


@pytest.mark.parametrize("square", [8, 96])
def test_pictures_whose_pieces_are_all_equal_have_a_ratio(square):
    """A checkerboard whose period divides the distance between pieces, and a flat picture."""
    lines = torch.arange(192) // square
    picture = 255.0 * ((lines + lines[:, None]) % 2)[None] if square == 8 else torch.full((1, 192, 192), 100.0)
    assert structure_ratio(picture, picture) < 1.1
    assert 1.5 < structure_ratio(part(40, 50), picture) < float("inf")


def test_brightness_is_pillows():
    colours = torch.randint(0, 256, (1, 3, 5, 7), generator=torch.Generator().manual_seed(1)).float()
    picture = Image.fromarray(colours[0].permute(1, 2, 0).byte().numpy()).convert("L")
    expected = torch.tensor(list(picture.tobytes())).view(5, 7)
    assert (brightness(colours)[0, 0] - expected).abs().max() <= 1


def test_too_small_pieces_are_refused():
    side = 2 * MIN_SIDE - 1
    with pytest.raises(ValueError, match="too small to compare"):
        structure_ratio(torch.zeros(1, side, side), torch.zeros(1, side, side))
