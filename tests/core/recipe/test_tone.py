"""Pictures that are cleaned of noise get back the mean and the contrast of those that were learned from."""

import pytest
import torch

from core.pictures.sums import means
from core.recipe.presets import PRESETS
from core.recipe.tone import MAX_GAIN, Tone
from core.schemas.learning import LearningParams
from core.schemas.net import LayerParams

TEXTURE = PRESETS["texture-cpu"]


def pictures(means, std):
    """One a row of `means` (of its channels), all of deviation `std` about them."""
    drawn = torch.randn(len(means), 3, 32, 32, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    drawn = drawn - drawn.mean(dim=(2, 3), keepdim=True)
    return drawn / drawn.square().mean().sqrt() * std + torch.tensor(means, dtype=torch.float64)[:, :, None, None]


def test_tone_restores_each_pictures_mean_and_the_contrast_of_all():
    clean = pictures([[3.0, -2.0, 0.5], [-4.0, 0.0, 7.0]], 45.0)
    found = Tone.of(clean, TEXTURE).apply(clean)
    torch.testing.assert_close(found.mean(dim=(2, 3)), torch.zeros(2, 3, dtype=torch.float64), rtol=0, atol=1e-9)
    assert found.square().mean().sqrt() == pytest.approx(TEXTURE.contrast, rel=1e-9)


def test_tiles_get_the_tone_of_the_whole_picture():
    clean = pictures([[3.0, -2.0, 0.5]], 45.0)
    tone = Tone.of(clean, TEXTURE)
    mean = means(clean)
    parts = [tone.apply(part, mean) for part in clean.tensor_split(2, dim=3)]
    assert torch.equal(torch.cat(parts, dim=3), tone.apply(clean))


@pytest.mark.parametrize(("std", "gain"), [(20.0, MAX_GAIN), (90.0, 1 / MAX_GAIN), (0.0, MAX_GAIN)])
def test_large_errors_of_tone_remain_visible(std, gain):
    clean = pictures([[60.0, -60.0, 0.0]], std)
    tone = Tone.of(clean, TEXTURE)
    assert tone.gain == pytest.approx(gain)
    found = tone.apply(clean)
    moved = (clean - found).mean(dim=(0, 2, 3))
    assert (found - found.mean(dim=(2, 3), keepdim=True)).square().mean().sqrt() == pytest.approx(gain * std, abs=1e-9)
    assert moved.tolist() == pytest.approx([TEXTURE.reference_std, -TEXTURE.reference_std, 0.0], abs=1e-9)


@pytest.mark.parametrize(
    "other",
    [
        {"even_light": None},
        {"contrast": None},
        {"picture_noise": 0.0},
        {"top": "object"},
        {"top": "category"},
        {"patch_size": 32, "boundary": "valid", "random_lattice": False},
        {"contrastive": True},
    ],
)
def test_pictures_of_unknown_mean_or_contrast_are_not_changed(other):
    clean = pictures([[3.0, -2.0, 0.5]], 45.0)
    assert Tone.of(clean, TEXTURE) != Tone()
    params = TEXTURE.model_copy(update=other)
    assert not Tone.applies_to(params)
    assert Tone.of(clean, params) == Tone()
    torch.testing.assert_close(Tone().apply(clean), clean, rtol=0, atol=1e-12)


def test_even_light_has_bounds():
    layers = (LayerParams(filters=1, kernel_size=3),)
    assert LearningParams(image_size=16, layers=layers).even_light is None
    for wrong in (0, 0.5, -3, 1025, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="even_light"):
            LearningParams(image_size=16, layers=layers, even_light=wrong)
