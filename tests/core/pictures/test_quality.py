"""Measures of picture quality (core/pictures/quality.py), on pictures whose measures are known."""

import math

import pytest
import torch
import torch.nn.functional as F

from core.pictures.quality import (
    assess,
    contrast,
    copying_score,
    distance_ratio,
    grid_peak,
    seam_visibility,
    self_distance,
    sliced_wasserstein,
    weakest_window,
)

SPREAD = 30.0


def noise(*shape, seed=1):
    return 128 + SPREAD * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def on_the_torus(side, seed=1):
    """Noise averaged over 9 x 9 neighbours, periodically: a smooth texture that tiles."""
    white = noise(1, 1, side, side, seed=seed)
    return F.avg_pool2d(F.pad(white, (4, 4, 4, 4), mode="circular"), 9, 1)[0]


def mean_cosine(dimensions):
    """E |u_1| of a unit vector u drawn uniformly from R^n: Γ(n/2) / (√π Γ((n+1)/2))."""
    return math.exp(math.lgamma(dimensions / 2) - math.lgamma((dimensions + 1) / 2)) / math.sqrt(math.pi)


def test_a_picture_has_distance_zero_from_itself():
    picture = noise(3, 40, 40)
    assert sliced_wasserstein(picture, picture) == 0
    assert distance_ratio(picture, picture) == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_the_distance_of_a_shifted_mean_in_closed_form(channels):
    """All patches move by d in each of n = 49 C values: W = d √n E |u_1|, at every scale."""
    picture, dimensions = noise(channels, 40, 40), channels * 49
    expected = 10 * math.sqrt(dimensions) * mean_cosine(dimensions)
    assert sliced_wasserstein(picture, picture + 10, directions=4096) == pytest.approx(expected, rel=0.05)
    constant = torch.full_like(picture, 50)
    assert sliced_wasserstein(constant, constant[..., :30] + 10, directions=4096) == pytest.approx(expected, rel=0.05)


def test_the_distance_of_two_single_patches_in_closed_form():
    a, b = noise(1, 7, 7), noise(1, 7, 7, seed=2)
    expected = float((a - b).norm()) * mean_cosine(49)
    assert sliced_wasserstein(a, b, directions=4096) == pytest.approx(expected, rel=0.05)
    assert sliced_wasserstein(a, b) == sliced_wasserstein(b, a)


def test_pictures_with_different_numbers_of_patches_are_compared_by_shares():
    stripes = torch.tensor([0.0, 100.0]).repeat(6).expand(1, 12, 12)
    assert sliced_wasserstein(stripes[..., :8], stripes[..., :12]) == 0  # two patches and six, half of each kind
    assert sliced_wasserstein(stripes[..., :7], stripes[..., :12]) > 1


def test_the_distance_falls_as_pictures_become_more_similar():
    picture = on_the_torus(64)
    far, near = (sliced_wasserstein(0.5 * picture + 64 + shift, picture) for shift in (20, 0))
    assert far > near > sliced_wasserstein(on_the_torus(64, seed=2), picture)


def test_the_same_pictures_have_the_same_measures_without_global_seeding():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b = noise(1, 48, 48), noise(1, 48, 48, seed=2)
    assert assess(a, b, 3) == assess(a, b, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_self_distance_is_that_of_the_two_halves():
    half = noise(1, 64, 32)
    assert self_distance(torch.cat([half, half + 60], dim=2)) == pytest.approx(sliced_wasserstein(half, half + 60))


def test_a_flat_picture_has_a_distance_ratio_of_ten_at_most():
    half = noise(1, 64, 32)
    picture = torch.cat([half, half], dim=2)
    flat = torch.full_like(picture, float(picture.mean()))
    assert distance_ratio(flat, picture) == pytest.approx(10, rel=1e-3)
    assert 1 < distance_ratio(flat, noise(1, 64, 64)) <= 10


def test_another_sample_of_the_same_noise_has_a_distance_ratio_near_one():
    assert distance_ratio(noise(2, 1, 96, 96, seed=2), noise(1, 96, 96)) < 1.1


def test_several_pictures_have_the_mean_of_their_distance_ratios():
    picture, several = noise(1, 64, 64), noise(2, 1, 64, 64, seed=2)
    several[1] += 20
    expected = sum(distance_ratio(one, picture) for one in several) / 2
    assert distance_ratio(several, picture) == pytest.approx(expected)


def test_flat_and_tiny_training_pictures_are_refused():
    with pytest.raises(ValueError, match="flat"):
        distance_ratio(noise(1, 32, 32), torch.full((1, 32, 32), 7.0))
    with pytest.raises(ValueError, match="7 x 7"):
        sliced_wasserstein(noise(1, 6, 6), noise(1, 20, 20))


@pytest.mark.parametrize("stride", [2, 3, 4, 6])
def test_noise_has_no_grid(stride):
    assert grid_peak(noise(8, 1, 128, 128), stride) == pytest.approx(1, abs=0.15)


def test_the_grid_peak_of_a_cosine_in_closed_form():
    """A cos(2πx / 3) over noise of std s in Hann windowed segments of n x n: 1 + A² n² / 9 s² on two of eight lines."""
    amplitude, segment = 6.0, 63
    wave = amplitude * torch.cos(2 * math.pi * torch.arange(128) / 3)
    expected = 1 + 2 / 8 * amplitude**2 * segment**2 / (9 * SPREAD**2)
    pictures = noise(8, 1, 128, 128)
    assert grid_peak(pictures + wave, 3) == pytest.approx(expected, rel=0.1)
    assert grid_peak((pictures + wave).transpose(2, 3), 3) == pytest.approx(expected, rel=0.1)
    assert grid_peak(pictures + wave, 2) < 1.2


def test_a_faint_grid_is_found_at_any_size():
    for side in (48, 96, 97, 129):
        picture = noise(1, side, side)
        grid = picture.clone()
        grid[:, ::3, ::3] += 40
        assert grid_peak(grid, 3) > 3 * grid_peak(picture, 3)


def test_a_grid_peak_needs_a_stride_of_two_and_four_periods():
    with pytest.raises(ValueError, match="stride is 1"):
        grid_peak(noise(1, 32, 32), 1)
    with pytest.raises(ValueError, match="fewer than 4"):
        grid_peak(noise(1, 31, 31), 8)


def test_copies_score_near_zero_and_new_pictures_near_one():
    picture = noise(3, 64, 64)
    assert copying_score(picture[:, 5:60, 9:64], picture) < 1e-6
    assert copying_score(noise(3, 64, 64, seed=2), picture) == pytest.approx(1, abs=0.05)
    half_copied = torch.cat([picture[:, :, 3:35], noise(3, 64, 32, seed=2)], dim=2)
    assert 0.3 < copying_score(half_copied, picture) < 0.8


def test_the_nearest_patches_are_those_of_an_exhaustive_search():
    """16 pixels a side leave one patch to look for; its nearest, and those of the picture's own patches, by hand."""
    picture, other = on_the_torus(48), on_the_torus(16, seed=2)
    windows = picture.unfold(1, 16, 1).unfold(2, 16, 1)[0].flatten(2)  # (33, 33, 256)
    distance = (windows - other.flatten()).norm(dim=2).min()
    apart = (torch.arange(33)[:, None] - torch.arange(33)).abs() >= 16
    apart = (apart[:, None, :, None] | apart[None, :, None, :]).flatten(0, 1).flatten(1)
    distances = torch.cdist(windows.flatten(0, 1), windows.flatten(0, 1))
    own = distances.masked_fill(~apart, math.inf).amin(dim=1)
    assert copying_score(other, picture) == pytest.approx(
        float(distance / own.mean()), rel=0.05
    )  # 256 random patches of its own


def test_a_picture_too_small_for_disjoint_patches_is_refused():
    with pytest.raises(ValueError, match="48 pixels"):
        copying_score(noise(1, 64, 64), noise(1, 47, 64))


def test_the_weakest_window_finds_a_flat_part():
    picture = noise(3, 96, 96)
    assert weakest_window(picture) == pytest.approx(SPREAD, rel=0.1)
    picture[:, 30:70, 30:70] = torch.tensor([10.0, 200.0, 99.0])[:, None, None]
    assert weakest_window(picture) == pytest.approx(0, abs=1e-3)
    assert contrast(picture) > SPREAD / 2


def test_contrast_is_the_spread_about_each_channels_mean():
    picture = torch.tensor([[[0.0, 20.0]], [[100.0, 120.0]]])
    assert contrast(picture) == pytest.approx(10)


def test_a_periodic_picture_has_no_seam_and_a_cut_one_has():
    pictures = torch.stack([on_the_torus(64, seed) for seed in range(4)])
    assert seam_visibility(pictures) == pytest.approx(1, abs=0.2)
    assert seam_visibility(pictures[..., 8:56, 8:56]) > 2
    assert seam_visibility(torch.full((1, 9, 9), 3.0)) == 1


def test_the_seam_of_a_ramp_by_hand():
    ramp = torch.arange(11.0).expand(1, 11, 11)  # 10 across the seam, 1 inside; nothing along the other axis
    assert seam_visibility(ramp) == pytest.approx((10 + 1) / 2, rel=1e-4)


def test_a_picture_compared_with_itself():
    picture = noise(3, 48, 48)
    quality = assess(picture, picture, 3)
    assert (quality.distance, quality.grid_peak, quality.weakest_window, quality.contrast) == (0, 1, 1, 1)
    assert quality.copying < 1e-6
    assert quality.seam == pytest.approx(1, abs=0.3)
    assert assess(picture, picture, stride=1).grid_peak is None
