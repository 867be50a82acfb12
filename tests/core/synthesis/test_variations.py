"""Chains that start from a given picture (core/synthesis/variations.py)."""

import io
import math

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


def model_of(noise_std: float = 0.0, chains: torch.Tensor | None = None) -> TrainedModel:
    params = learning_params(picture_noise=noise_std)
    chains = torch.zeros(1, 1, 16, 16) if chains is None else chains
    return TrainedModel(GenerativeConvNet(architecture_of(params, 1)), levels_of(1), chains, params)


def generator():
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.5, 1.0])
def test_a_variation_starts_between_the_picture_and_a_fresh_one_with_contrast_and_noise_of_both(strength):
    """The fresh one is a chain: it has the noise n of training already."""
    noise_std, contrast = 3.0, 40.0
    seeds = torch.Generator().manual_seed(1)
    picture, clean, noise = (torch.randn(SHAPE, generator=seeds, dtype=torch.float64) for _ in range(3))
    picture, fresh = contrast * picture, contrast * clean + noise_std * noise
    started = start_variation(picture, fresh, strength, noise_std, generator())
    of_picture, of_fresh = math.cos(strength * math.pi / 2), math.sin(strength * math.pi / 2)
    left = started - of_picture * picture - of_fresh * contrast * clean
    assert left.square().mean().sqrt().item() == pytest.approx(noise_std, rel=0.03)
    assert abs((left * picture).mean().item()) <= 0.03 * contrast * noise_std
    assert started.square().mean().sqrt().item() == pytest.approx(math.hypot(contrast, noise_std), rel=0.03)
    if strength == 0:
        assert torch.equal(start_variation(picture, fresh, strength, 0.0, generator()), picture)
    if strength == 1:
        torch.testing.assert_close(started, fresh)


def test_the_models_of_a_blend_have_the_same_noise_each_to_its_own_strength():
    picture, noise_std = torch.zeros(SHAPE), torch.tensor([0.0, 1.0, 7.0, 2.0])[:, None, None, None]
    none, one, seven, two = start_variation(picture, picture, 0.0, noise_std, generator())
    assert not none.any()
    assert seven.std().item() == pytest.approx(7, rel=0.05)
    assert torch.equal(seven, 7 * one)
    assert torch.equal(two, 2 * one)


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
