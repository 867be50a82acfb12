"""What is finer than a few pixels gets the power back that it has in the training pictures."""

import pytest
import torch
from torch.nn import functional

from core.pictures.spectrum import band_frequencies, band_powers
from core.recipe.fine_detail import FINE_BANDS, MAX_GAIN, MIN_GAIN, MIN_SIDE, filtered, fine_detail_filter
from core.recipe.presets import PRESETS
from core.recipe.tone import Tone


def grain(side=96, seed=0, count=2):
    return 50 * torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def blurred(images):
    kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, 28.0, 2.0], [1.0, 2.0, 1.0]]) / 40
    return filtered(images, kernel)


def test_a_filter_is_a_periodic_convolution():
    images, kernel = grain().double(), torch.randn(5, 5, dtype=torch.float64)
    whole = torch.zeros(96, 96, dtype=torch.float64)
    whole[:5, :5] = kernel.flip(0, 1)  # conv2d correlates
    expected = torch.fft.ifft2(torch.fft.fft2(images) * torch.fft.fft2(whole.roll((-2, -2), (0, 1)))).real
    torch.testing.assert_close(filtered(images, kernel), expected)


def test_fine_bands_get_the_power_of_the_training_pictures_and_coarse_ones_stay():
    pictures, clean = grain(seed=1), blurred(grain(seed=2))
    kernel = fine_detail_filter(clean, pictures)
    found, before, wanted = (band_powers(one, 64) for one in (filtered(clean, kernel), clean, pictures))
    assert (before / wanted)[0] < 0.5
    torch.testing.assert_close(found[:FINE_BANDS], wanted[:FINE_BANDS], rtol=0.2, atol=0)
    torch.testing.assert_close(found[FINE_BANDS + 1 :], before[FINE_BANDS + 1 :], rtol=0.05, atol=0)
    torch.testing.assert_close(kernel.sum(), torch.tensor(1.0))


def test_grain_that_training_pictures_have_not_is_taken_away():
    smooth = functional.interpolate(grain(24), scale_factor=4.0, mode="bicubic")
    noisy = smooth + grain(seed=1) / 10
    kernel = fine_detail_filter(noisy, smooth)
    found, before, wanted = (band_powers(one, 64)[0] for one in (filtered(noisy, kernel), noisy, smooth))
    assert before > 100 * wanted
    assert found < before / 10


@pytest.mark.parametrize(("share", "gain"), [(0.01, MAX_GAIN), (100.0, MIN_GAIN)])
def test_large_errors_of_fine_detail_remain_visible(share, gain):
    pictures = grain()
    kernel = fine_detail_filter(pictures * share, pictures)
    response = torch.fft.fft2(kernel, s=(64, 64)).abs()
    assert response[32, 32].item() == pytest.approx(gain, rel=0.1)


def test_it_is_measured_on_pictures_of_some_size_alone():
    assert fine_detail_filter(grain(MIN_SIDE), grain(MIN_SIDE)) is not None
    assert fine_detail_filter(grain(MIN_SIDE - 1), grain()) is None
    assert fine_detail_filter(grain(), grain(MIN_SIDE - 1)) is None


def test_the_tones_contrast_is_that_of_the_filtered_picture():
    params = PRESETS["texture-cpu"]
    clean, pictures = 0.9 * blurred(grain(count=1)), grain(count=1, seed=3)
    kernel = fine_detail_filter(clean, pictures)
    tone = Tone.of(clean, params, kernel)
    toned = tone.apply(clean)
    assert (toned - toned.mean(dim=(2, 3), keepdim=True)).std().item() == pytest.approx(params.contrast, rel=1e-3)
    assert tone.reach == len(kernel) // 2


def test_bands_lie_around_their_frequencies():
    """A wave at the middle of each band has its power there."""
    across = torch.arange(128)
    for band, frequency in enumerate(band_frequencies(FINE_BANDS).tolist()):
        down = min(frequency, 0.45)
        right = (frequency**2 - down**2) ** 0.5
        wave = torch.cos(2 * torch.pi * (down * across[:, None] + right * across)) * 50
        assert band_powers(wave[None], 64).argmax() == band
