"""Chains that start from a given picture (core/synthesis/variations.py)."""

import io

import pytest
import torch
from PIL import Image
from support import pictures
from support.finished_models import learning_params, levels_of, noise_png, pixels_of

from core.synthesis.trained_model import TrainedModel
from core.synthesis.variations import between, prepare_picture, start_variation
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

SHAPE = (4, 1, 100, 100)


def generator():
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize(("strength", "noise_std"), [(0.0, 0.0), (0.0, 3.0), (0.3, 3.0), (1.0, 0.0)])
def test_a_variation_starts_from_the_picture_under_noise_of_the_stated_variance(strength, noise_std):
    picture = 40 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    started = start_variation(picture, strength, 50.0, noise_std, generator())
    noise = started - (1 - strength) * picture
    variance = strength * (2 - strength) * 50**2 + noise_std**2
    assert noise.square().mean().item() == pytest.approx(variance, rel=0.03)
    assert abs((noise * picture).mean().item()) <= 0.03 * 40 * variance**0.5
    if not variance:
        assert torch.equal(started, picture)


def test_between_two_pictures_contrast_stays_and_the_ends_are_the_pictures():
    one, other = (torch.randn(1, 3, 40, 40, generator=generator().manual_seed(seed)).double() for seed in (1, 2))
    other = 0.8 * other + 0.3 * one
    one, other = (picture / picture.norm() for picture in (one, other))
    assert torch.equal(between(one, other, 0), one)
    assert torch.equal(between(one, other, 1), other)
    angle = (one * other).sum().acos()
    for share in (0.2, 0.5):
        found = between(one, other, share)
        assert found.norm().item() == pytest.approx(1)
        assert (found * one).sum().acos().item() == pytest.approx(share * angle.item())
    for same in (one, -one, torch.zeros_like(one)):
        torch.testing.assert_close(between(one, same, 0.25), 0.75 * one + 0.25 * same)


def test_a_picture_is_scaled_to_cover_the_canvas_and_standardized():
    params = learning_params()
    chains = torch.zeros(1, 1, 16, 16)
    model = TrainedModel(GenerativeConvNet(architecture_of(params, 1)), levels_of(1), chains, params)
    content = noise_png(1)
    same = prepare_picture(content, model, 16, 16)
    torch.testing.assert_close(same, (pixels_of(content)[None].float() - 120) * 0.05)
    halves = Image.open(io.BytesIO(content)).resize((64, 32))
    halves.paste(255, (0, 0, 20, 32))
    halves.paste(255, (44, 0, 64, 32))
    cropped = prepare_picture(pictures.encoded(halves.convert("RGB"), "PNG"), model, 8, 4)
    assert cropped.shape == (1, 1, 8, 4)
    assert cropped.max() < (255 - 120) * 0.05, "the white sides are cropped"
