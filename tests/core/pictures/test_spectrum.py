"""The bands of the power spectrum against pictures whose spectrum is known."""

import pytest
import torch

from core.pictures.spectrum import TOLERATED, band_powers, spectrum_deviation

SIDE = 256


def noise(std=20.0, seed=0, side=SIDE):
    return 128 + std * torch.randn(1, side, side, generator=torch.Generator().manual_seed(seed))


def checkerboard(amplitude):
    lines = torch.arange(SIDE)
    return amplitude * (1.0 - 2.0 * ((lines + lines[:, None]) % 2))[None]


def test_white_noise_has_its_variance_in_each_band():
    powers = band_powers(noise(side=512), 128)
    assert len(powers) > 8
    torch.testing.assert_close(powers[:8], torch.full((8,), 400.0), rtol=0.1, atol=0)


@pytest.mark.parametrize(("frequency", "band"), [(0.45, 1), (0.35, 2), (0.28, 3), (0.22, 4)])
def test_a_wave_is_in_the_band_of_its_frequency(frequency, band):
    wave = 128 + 40 * torch.cos(2 * torch.pi * frequency * torch.arange(SIDE)).expand(1, SIDE, SIDE)
    assert int(band_powers(wave, 128).argmax()) == band


def test_two_samples_of_one_texture_deviate_little():
    assert spectrum_deviation(noise(seed=1), noise(seed=2)) < TOLERATED


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_band_too_strong_or_too_weak_deviates_by_the_factor_of_its_power(factor):
    found = spectrum_deviation(noise(20.0 * factor**0.5, seed=1), noise(seed=2))
    assert found == pytest.approx(2.0, rel=0.25)


def test_a_faint_checkerboard_of_single_pixels_deviates():
    smooth = torch.nn.functional.avg_pool2d(noise(80.0), 5, 1, 2)
    assert spectrum_deviation(smooth, smooth) == 1.0
    assert spectrum_deviation(smooth + checkerboard(4.0), smooth) > 3


def test_what_the_halves_of_the_picture_differ_by_is_tolerated():
    uneven = noise() * 1.0
    uneven[..., SIDE // 2 :] = 128 + 3 * (uneven[..., SIDE // 2 :] - 128)
    assert spectrum_deviation(noise(seed=1), uneven) <= TOLERATED


def test_pictures_too_small_for_a_band_are_refused():
    with pytest.raises(ValueError, match="too small"):
        spectrum_deviation(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4))
