"""What a job says of its own pictures' resemblance to the training picture."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import skimage
import torch
from training import PARAMS, with_

from core.pictures.images import read_picture
from core.pictures.orientations import turned_by
from core.pictures.structure import MIN_SIDE
from core.recipe.resemblance import TOLERATED_STRUCTURE, Resemblance, find_differences, measure_resemblance
from core.schemas.orientations import turnable_side, turned_side

MIN_COMPARED = 2 * MIN_SIDE
GOOD = Resemblance(structure_ratio=1.0, spectrum_deviation=1.3)


def noise(count=1, side=MIN_COMPARED, seed=0):
    return 128 + 30 * torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(seed))


def test_noise_resembles_other_noise_but_not_its_blur():
    found = measure_resemblance(noise(seed=1), noise(seed=2)[0], PARAMS)
    assert found is not None
    assert find_differences(found) == []
    blurred = measure_resemblance(torch.nn.functional.avg_pool2d(noise(), 3, 1, 1), noise(seed=2)[0], PARAMS)
    assert blurred is not None
    structure, spectrum = find_differences(blurred)
    assert f"{blurred.structure_ratio:.1f} times as much as parts of it" in structure
    assert f"{blurred.spectrum_deviation:.1f} times too strong or too weak" in spectrum


@pytest.mark.parametrize(
    "change", [{"structure_ratio": 1.51}, {"structure_ratio": float("nan")}, {"spectrum_deviation": 2.1}], ids=str
)
def test_each_difference_is_told(change):
    assert find_differences(GOOD) == []
    (told,) = find_differences(replace(GOOD, **change))
    assert ": more iterations may help" in told
    (told,) = find_differences(replace(GOOD, **change), "canvas_iterations")
    assert ": more canvas_iterations may help" in told


@pytest.mark.parametrize(
    "settings",
    [
        {"top": "object", "boundary": "valid"},
        {"contrastive": True, "boundary": "valid"},
        {"patch_size": 8, "boundary": "valid"},
    ],
    ids=str,
)
def test_only_textures_are_compared(settings):
    assert measure_resemblance(noise(), noise()[0], with_(**settings)) is None


def test_pictures_of_few_pieces_are_not_compared():
    small = noise(side=MIN_COMPARED - 1)
    assert measure_resemblance(small, noise()[0], PARAMS) is None
    assert measure_resemblance(noise(), small[0], PARAMS) is None


def test_what_was_learned_in_one_orientation_is_compared_with_the_picture_in_it():
    picture, turned = noise(seed=2)[0], with_(orientations=("90",))
    upright = measure_resemblance(noise(seed=1), picture.rot90(1, dims=(1, 2)), PARAMS)
    assert measure_resemblance(noise(seed=1), picture, turned) == upright


@pytest.mark.parametrize(("orientations", "degrees"), [(("any",), 17.0), (("0", "90"), 90.0)], ids=str)
def test_what_was_learned_in_several_orientations_is_compared_with_all_of_them(orientations, degrees):
    content = (Path(skimage.__file__).parent / "data" / "brick.png").read_bytes()
    bricks = read_picture(content, 192, 1)
    size = turned_side(192)
    shown = turned_by(bricks[None], torch.tensor([math.radians(degrees)]), size)
    found, alone, other = (
        measure_resemblance(pictures, bricks, with_(orientations=learned))
        for pictures, learned in ((shown, orientations), (shown, ("0",)), (noise(side=size), orientations))
    )
    assert found is not None
    assert found.structure_ratio < 1.2
    assert alone is not None
    assert alone.structure_ratio > TOLERATED_STRUCTURE
    assert other is not None
    assert other.structure_ratio > TOLERATED_STRUCTURE


def test_what_was_learned_at_any_angle_has_the_spectrum_of_turned_pictures():
    """Turned, a picture has less of its finest detail."""
    picture = noise(side=256, seed=2)[0]
    shown = turned_by(picture[None], torch.tensor([0.3]), turned_side(256))
    found = measure_resemblance(shown, picture, with_(orientations=("any",)))
    assert found is not None
    assert found.spectrum_deviation < 1.3


def test_a_picture_whose_turned_middle_is_small_is_not_compared():
    params = with_(orientations=("any",))
    least = turnable_side(MIN_COMPARED)
    assert measure_resemblance(noise(), noise(side=least - 1)[0], params) is None
    assert measure_resemblance(noise(), noise(side=least)[0], params) is not None


def test_a_picture_with_unknown_pixels_is_compared_by_what_is_known_of_it():
    known = noise(seed=2)[0]
    partial = known.clone()
    partial[:, 8:40, 8:40] = torch.nan
    found = measure_resemblance(noise(seed=1), partial, PARAMS)
    assert found is not None
    assert find_differences(found) == []
    blurred = measure_resemblance(torch.nn.functional.avg_pool2d(noise(), 3, 1, 1), partial, PARAMS)
    assert blurred is not None
    assert len(find_differences(blurred)) == 2
