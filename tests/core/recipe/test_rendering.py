"""Chains become pictures: without the noise of training, in the training pictures' tone."""

import pytest
import torch
from nets import random_net

from core.engine import ReferenceEngine
from core.recipe.denoising import denoise
from core.recipe.fine_detail import MIN_SIDE, fine_detail_filter
from core.recipe.rendering import detail_filter_of, render_chains, tone_of
from core.recipe.tone import Tone
from core.schemas.learning import LearningParams
from core.theory.learning import architecture_of

LAYERS = [{"filters": 4, "kernel_size": 5}]
TEXTURE = {"image_size": 32, "layers": LAYERS, "reference_std": 20.0, "picture_noise": 15.0, "boundary": "torus"}
TEXTURE |= {"layerwise": False}
TONED = {**TEXTURE, "even_light": 8.0, "contrast": 40.0}
DRAWN, EXAMPLES = torch.randn(
    2, 1, 1, MIN_SIDE, MIN_SIDE, generator=torch.Generator().manual_seed(2), dtype=torch.float64
)


def _case(**settings):
    params = LearningParams.model_validate(settings)
    net = random_net(architecture_of(params, 1), 3)
    chains = 30 * torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 7
    return net, chains, params


@pytest.mark.parametrize("engine", [None, ReferenceEngine()])
def test_chains_are_denoised_and_get_the_tone_of_all_of_them(engine):
    net, chains, params = _case(**TONED)
    clean = denoise(net, chains, params.picture_noise, "torus")
    tone = Tone.of(clean, params)
    assert tone.gain != 1.0
    torch.testing.assert_close(render_chains(net, chains, params, engine), tone.apply(clean))


def test_chains_of_other_models_are_denoised_alone():
    net, chains, params = _case(**TEXTURE)
    torch.testing.assert_close(render_chains(net, chains, params), denoise(net, chains, 15.0, "torus"))
    net, chains, params = _case(**{**TEXTURE, "picture_noise": 0.0})
    torch.testing.assert_close(render_chains(net, chains, params), chains, rtol=1e-12, atol=1e-12)


def test_the_tone_of_a_model_is_measured_on_its_first_chain():
    net, chains, params = _case(**TONED)
    first = denoise(net, chains[:1], params.picture_noise, "torus")
    assert tone_of(net, chains, params) == Tone.of(first, params)
    kernel = torch.ones(1, 1)
    net, chains, params = _case(**TEXTURE)
    untoned = tone_of(net, chains, params, detail_filter=kernel)
    assert (untoned.gain, untoned.max_shift, untoned.detail_filter is kernel) == (1.0, 0.0, True)


@pytest.mark.parametrize(
    "other",
    [
        {"picture_noise": 0.0},
        {"layerwise": True},
        {"boundary": "padded"},
        {"top": "object", "boundary": "padded"},
        {"patch_size": 32, "image_size": 64, "boundary": "valid"},
    ],
)
def test_only_textures_that_were_learned_under_noise_have_a_filter_for_fine_detail(other):
    net, _, params = _case(**{**TEXTURE, **other})
    assert detail_filter_of(net, DRAWN, params, EXAMPLES) is None


def test_the_filter_for_fine_detail_compares_what_is_shown_with_the_training_pictures():
    net, _, params = _case(**TEXTURE)
    found = detail_filter_of(net, DRAWN, params, EXAMPLES)
    expected = fine_detail_filter(render_chains(net, DRAWN, params), EXAMPLES)
    assert found is not None
    assert expected is not None
    assert torch.equal(found, expected)
