"""Slow light and drifting hues are taken out of a picture, its texture is not."""

import math

import pytest
import torch

from core.recipe import lighting
from core.recipe.lighting import HUE_SHARE, MAX_STRETCH, Light, evened, slow_light

SIDE = 64


def cosine(half_periods, height=SIDE, width=SIDE):
    """(height, width): what a line with mirrors at its ends may hold, falling from left to right."""
    across = torch.cos(math.pi * half_periods * (torch.arange(width, dtype=torch.float64) + 0.5) / width)
    return across.expand(height, width)


def faded(half_periods, std, width=SIDE):
    """What a Gaussian blur of `std` pixels leaves of the cosine, in closed form."""
    return math.exp(-((math.pi * half_periods * std / width) ** 2) / 2)


@pytest.mark.parametrize("std", [1.0, 7.5, 200.0])
@pytest.mark.parametrize("half_periods", [1, 4, 40])
def test_the_part_of_a_wave_that_the_blur_leaves_is_removed(half_periods, std):
    wave = cosine(half_periods)[None]
    picture, kept = 120 + 30 * wave, 1 - faded(half_periods, std)
    torch.testing.assert_close(picture - slow_light(picture, std), 120 + 30 * kept * wave, rtol=0, atol=1e-9)
    stretched = min(MAX_STRETCH * kept, 1.0)
    torch.testing.assert_close(evened(picture, std), 120 + 30 * stretched * wave, rtol=0, atol=1e-9)


@pytest.mark.parametrize("turned", [False, True])
def test_waves_along_a_long_strip_are_removed_without_a_matrix_of_its_length(turned, monkeypatch):
    sides, matrix_of = [], lighting._blur_matrix
    monkeypatch.setattr(lighting, "_blur_matrix", lambda side, std: sides.append(side) or matrix_of(side, std))
    width, std = 10_922, 200.0
    wave = 120 + 30 * cosine(40, 24, width)[None]
    picture = wave.mT if turned else wave
    expected = 120 + 30 * (1 - faded(40, std, width)) * cosine(40, 24, width)[None]
    torch.testing.assert_close(
        picture - slow_light(picture, std), expected.mT if turned else expected, rtol=0, atol=1e-9
    )
    assert set(sides) == {24}


@pytest.mark.parametrize("hole", [False, True])
def test_the_rest_has_the_contrast_of_the_whole_and_light_is_restored(hole):
    generator = torch.Generator().manual_seed(3)
    picture = 120 + 20 * torch.randn(3, SIDE, SIDE, generator=generator, dtype=torch.float64) + 10 * cosine(1)
    known = torch.ones(SIDE, SIDE, dtype=torch.bool)
    known[:20, :30] = not hole
    light = Light.of(picture, 8.0, known)
    even = light.without(picture)
    centred = (one - one[:, known].mean(dim=1)[:, None, None] for one in (picture, even))
    std, of_even = (one[:, known].square().mean().sqrt() for one in centred)
    torch.testing.assert_close(of_even, std, rtol=1e-4, atol=0)
    torch.testing.assert_close(even[:, known].mean(dim=1), picture[:, known].mean(dim=1), rtol=0, atol=0.5)
    torch.testing.assert_close(light.given_to(even), picture)
    assert 1.05 < light.stretch < MAX_STRETCH


def test_a_picture_that_is_mostly_slow_light_is_stretched_only_so_far():
    generator = torch.Generator().manual_seed(4)
    picture = 120 + torch.randn(1, SIDE, SIDE, generator=generator, dtype=torch.float64) + 80 * cosine(1)
    light = Light.of(picture, 8.0)
    assert light.stretch == MAX_STRETCH
    assert light.without(picture).std() < 15


def test_down_and_across_are_blurred_alike():
    picture = 120 + 40 * torch.rand(3, 30, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    turned = evened(picture.transpose(1, 2), 9.0).transpose(1, 2)
    torch.testing.assert_close(evened(picture, 9.0), turned, rtol=0, atol=1e-9)


def test_drifting_hues_are_removed_at_shorter_distances_than_light():
    """Brightness, here the stronger, along (1, 1, 1); a hue from red to blue along (1, 0, -1)."""
    brightness, hue = torch.ones(3, dtype=torch.float64), torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
    light, drift, std = 40 * cosine(3), 5 * cosine(5), 16.0
    picture = 120 + brightness[:, None, None] * light + hue[:, None, None] * drift
    kept_light = 1 - faded(3, std)
    kept_hue = (1 - faded(5, std)) * (1 - faded(5, HUE_SHARE * std))
    expected = 120 + brightness[:, None, None] * kept_light * light + hue[:, None, None] * kept_hue * drift
    torch.testing.assert_close(picture - slow_light(picture, std), expected, rtol=0, atol=1e-9)


def test_the_mean_and_finer_detail_are_kept():
    generator = torch.Generator().manual_seed(2)
    texture = 120 + 20 * torch.randn(3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    uneven = texture + 30 * cosine(1)
    found = evened(uneven, 6.0)
    torch.testing.assert_close(found.mean(dim=(1, 2)), uneven.mean(dim=(1, 2)), rtol=0, atol=0.05)
    across = (found - texture).mean(dim=(0, 1))
    assert across.abs().max() < 3  # of 30
    assert torch.corrcoef(torch.stack([found.flatten(), texture.flatten()]))[0, 1] > 0.99


def test_grey_and_flat_pictures_and_even_light_off():
    flat = torch.full((1, 20, 20), 77.0)
    torch.testing.assert_close(evened(flat, 8.0), flat)
    assert evened(flat, None) is flat
    colour = torch.full((3, 20, 20), 77.0)
    torch.testing.assert_close(evened(colour, 8.0), colour)


def test_evened_pictures_stay_between_black_and_white():
    picture = torch.full((3, SIDE, SIDE), 0.0)
    picture[..., SIDE // 2 :] = 200.0
    picture[:, 8::16, 8::16] = 255.0  # white among black, which is raised to the mean
    picture[:, 8::16, SIDE // 2 + 4 :: 16] = 0.0  # black among light, which is lowered to it
    found = evened(picture, 4.0)
    assert (found.min(), found.max()) == (0, 255)


def test_the_light_of_a_picture_with_a_hole_comes_from_its_known_pixels():
    generator = torch.Generator().manual_seed(5)
    texture = 5 * torch.randn(3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    picture = 120 + 30 * cosine(1) + texture
    known = torch.ones(SIDE, SIDE, dtype=torch.bool)
    known[20:40, 8:24] = False
    light = slow_light(picture, 8.0, known)
    assert torch.equal(slow_light(torch.where(known, picture, 255.0), 8.0, known), light)
    whole = slow_light(picture, 8.0)
    assert (light - whole).square().mean().sqrt() < 0.2 * whole.square().mean().sqrt()
    torch.testing.assert_close(slow_light(picture, 8.0, torch.ones_like(known)), whole)


@pytest.mark.parametrize("left", [0, 1])
def test_a_nearly_unknown_picture_has_no_slow_light(left):
    known = torch.zeros(200, 200, dtype=torch.bool)
    known[0, :left] = True
    light = slow_light(torch.full((3, 200, 200), 90.0), 2.0, known)
    assert light.isfinite().all()
    assert light.abs().max() < 1e-3
