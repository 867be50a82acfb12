"""Chains that start from a given picture (core/synthesis/variations.py)."""

import io
import math

import pytest
import torch
from PIL import Image
from support import pictures
from support.finished_models import learning_params, levels_of, noise_png, pixels_of

from core.synthesis.trained_model import TrainedModel
from core.synthesis.variations import between, prepare_picture, start_std, start_variation
from core.theory.learning import architecture_of
from core.theory.model import GenerativeConvNet

SHAPE = (4, 1, 100, 100)


def model_of(noise_std: float = 0.0, chains: torch.Tensor | None = None) -> TrainedModel:
    params = learning_params(picture_noise=noise_std)
    chains = torch.zeros(1, 1, 16, 16) if chains is None else chains
    return TrainedModel(GenerativeConvNet(architecture_of(params, 1)), levels_of(1), chains, params)


def generator():
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize(("strength", "std"), [(0.0, 0.0), (0.0, 3.0), (0.3, 30.0), (1.0, 50.0)])
def test_a_variation_starts_from_the_picture_under_noise_of_the_stated_variance(strength, std):
    picture = 40 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    started = start_variation(picture, strength, std, generator())
    noise = started - (1 - strength) * picture
    assert noise.square().mean().sqrt().item() == pytest.approx(std, rel=0.03)
    assert abs((noise * picture).mean().item()) <= 0.03 * 40 * std
    if not std:
        assert torch.equal(started, picture)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_a_picture_of_the_models_contrast_keeps_it_under_noise_and_has_that_of_training(strength):
    """The model's chains, of contrast c, are under its noise n already: their variance is c² + n²."""
    contrast, noise_std = 4.0, 3.0
    model = model_of(noise_std, chains=math.hypot(contrast, noise_std) * torch.ones(2, 1, 16, 16))
    std = start_std(model, strength)
    assert ((1 - strength) * contrast) ** 2 + std**2 == pytest.approx(contrast**2 + noise_std**2)


def test_chains_fainter_than_the_noise_have_no_contrast_without_it():
    assert start_std(model_of(3.0, chains=torch.ones(2, 1, 16, 16)), 0.7) == 3.0


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
    model, content = model_of(), noise_png(1)
    same = prepare_picture(content, model, 16, 16)
    torch.testing.assert_close(same, (pixels_of(content)[None].float() - 120) * 0.05)
    halves = Image.open(io.BytesIO(content)).resize((64, 32))
    halves.paste(255, (0, 0, 20, 32))
    halves.paste(255, (44, 0, 64, 32))
    cropped = prepare_picture(pictures.encoded(halves.convert("RGB"), "PNG"), model, 8, 4)
    assert cropped.shape == (1, 1, 8, 4)
    assert cropped.max() < (255 - 120) * 0.05, "the white sides are cropped"
