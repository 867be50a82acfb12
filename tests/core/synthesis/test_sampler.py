"""A finished model, prepared to draw pictures as a sampling job asks for them."""

import numpy as np
import pytest
import torch
from nets import random_net
from PIL import Image
from support import pictures
from support.finished_models import LEVELS, SIZE, learning_params, levels_of, noise_png

from core.pictures.colour_box import ColourBox
from core.pictures.images import Levels, resize_periodic
from core.schemas.materials import MaterialMap
from core.schemas.sampling import ResolvedSampleParams
from core.synthesis.sampler import PREVIEW_SIDE, ModelSampler, guide_contrast, guide_picture
from core.synthesis.trained_model import TrainedModel
from core.synthesis.variations import prepare_picture
from core.theory.learning import architecture_of

STRIDED = [{"filters": 4, "kernel_size": 5, "stride": 4}]


def _model(chains=None, levels=None, maps=(), channels=1, **params):
    learned = learning_params(**params)
    net = random_net(architecture_of(learned, channels), 3).float()
    chains = torch.zeros(1, channels, SIZE, SIZE) if chains is None else chains
    return TrainedModel(net, levels or levels_of(channels), chains, learned, maps)


def _params(**changes):
    given = {"count": 2, "width": SIZE, "height": SIZE, "steps": 2, "step_size": 0.8, "seed": 7, **changes}
    return ResolvedSampleParams.model_validate(given)


def _run(sampler, index=0):
    generator = torch.Generator().manual_seed(sampler.params.seed_of(index))
    return sampler.run(index, generator, lambda _: None)


def _grey(level, width=SIZE, height=SIZE):
    return pictures.encoded(Image.new("L", (width, height), level), "PNG")


@pytest.mark.parametrize("tileable", [False, True])
def test_a_picture_has_its_own_size_though_the_canvas_is_a_multiple_of_the_stride(tileable):
    sampler = ModelSampler.of(_model(layers=STRIDED), _params(width=21, height=18, tileable=tileable))
    chain = _run(sampler)
    assert chain.shape == (1, 1, 20, 24)
    whole = sampler.render(chain, lambda _: None)
    drawn = sampler.draw(0, lambda _: None)
    assert (drawn.dtype, drawn.shape) == (torch.uint8, (1, 18, 21))
    assert torch.equal(drawn, resize_periodic(whole, 18, 21) if tileable else whole[:, :18, :21])


def test_each_picture_has_a_seed_of_its_own_and_is_drawn_the_same_alone():
    model, params = _model(), _params()
    first, second = (ModelSampler.of(model, params).draw(index, lambda _: None) for index in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(ModelSampler.of(model, params.alone(1)).draw(0, lambda _: None), second)


@pytest.mark.parametrize(("noise", "more"), [(0.0, 0), (1.0, 1)])
def test_denoising_counts_as_further_steps(noise, more):
    sampler, steps = ModelSampler.of(_model(picture_noise=noise), _params(steps=3)), []
    sampler.draw(0, steps.append)
    assert (sampler.denoising_steps, max(steps)) == (more, 3 + more)
    assert steps == sorted(steps)


def test_pictures_of_a_fixed_size_start_from_the_models_chains_in_turn():
    chains = torch.tensor([-2.0, 0.0, 2.0])[:, None, None, None].expand(3, 1, SIZE, SIZE).contiguous()
    sampler = ModelSampler.of(_model(chains, top="object", boundary="padded"), _params(count=4, step_size=0.01))
    assert sampler.dynamics.boundary == "padded"
    means = [_run(sampler, index).mean().item() for index in range(4)]
    assert means == pytest.approx([0.0, 2.0, -2.0, 0.0], abs=0.1)  # chains 7, 8, 9 and 10 of three


def test_the_steps_have_the_size_that_is_asked_for_on_a_torus():
    sampler = ModelSampler.of(_model(step_size=0.8), _params(step_size=0.25))
    assert (sampler.dynamics.step_size, sampler.dynamics.boundary) == (0.25, "torus")


def test_previews_are_small_and_show_the_chain_as_it_is():
    sampler, shown = ModelSampler.of(_model(), _params(steps=1)), []
    sampler.draw(0, lambda _: None, lambda _, look: shown.append(look()))
    assert [(one.dtype, one.shape) for one in shown] == [(torch.uint8, (1, SIZE, SIZE))]
    assert torch.equal(shown[0], sampler.preview(_run(sampler)))
    wide = sampler.preview(torch.zeros(1, 1, SIZE, 3 * PREVIEW_SIDE))
    assert max(wide.shape) <= PREVIEW_SIDE
    assert wide.unique().tolist() == [LEVELS.mean.item()]


def test_of_a_material_grey_levels_are_not_rounded():
    maps = (MaterialMap(role="height", channels=1, bits=16), MaterialMap(role="roughness", channels=1, bits=8))
    sampler = ModelSampler.of(_model(channels=2, maps=maps), _params())
    drawn = sampler.draw(0, lambda _: None)
    assert (drawn.dtype, drawn.shape) == (torch.float32, (2, SIZE, SIZE))
    assert (drawn != drawn.round()).any()
    assert sampler.preview(_run(sampler)).dtype == torch.float32


def test_a_variation_begins_near_its_picture_or_on_the_way_to_another():
    model, start, end = _model(), noise_png(1), noise_png(2)
    still = {"steps": 1, "step_size": 1e-4, "start_strength": 1e-3, "start_dataset_id": "dataset_1"}
    sampler = ModelSampler.of(model, _params(**still), start)
    torch.testing.assert_close(_run(sampler), prepare_picture(start, model, SIZE, SIZE), rtol=0, atol=0.05)
    way = {"count": 2, "end_dataset_id": "dataset_2", "end_shares": [0.0, 1.0]}
    sampler = ModelSampler.of(model, _params(**still, **way), start, end=end)
    for index, picture in enumerate((start, end)):
        expected = prepare_picture(picture, model, SIZE, SIZE)
        torch.testing.assert_close(_run(sampler, index), expected, rtol=0, atol=0.05)


def test_a_guide_without_strength_guides_nothing():
    model, guide = _model(), noise_png(1)
    for strength, count in ((0.0, 0), (0.5, 1)):
        params = _params(guide_dataset_id="dataset_1", guide_strength=strength)
        assert len(ModelSampler.of(model, params, guide=guide).conditions) == count
    assert ModelSampler.of(model, _params()).conditions == ()


def test_a_guide_has_the_nearest_colours_that_the_model_draws():
    box = ColourBox(torch.full((1, 1, 1), -0.5), torch.full((1, 1, 1), 1.0))
    model = _model(levels=Levels(LEVELS.mean, LEVELS.gain, box))
    for level, value in ((0, -0.5), (255, 1.0), (130, 0.5)):
        found = guide_picture(_grey(level), model, SIZE, SIZE)
        assert found.unique().tolist() == pytest.approx([value])


@pytest.mark.parametrize(("chains", "spread"), [(0.0, 2.0), (4.0, 4.0)])
def test_the_contrast_of_a_guide_is_in_units_of_the_chains_or_at_least_of_sigma(chains, spread):
    model = _model(torch.full((1, 1, SIZE, SIZE), chains))
    assert guide_contrast(_grey(160), model, SIZE, SIZE) == pytest.approx(40 * LEVELS.gain / spread)
    assert guide_contrast(_grey(120), model, SIZE, SIZE) == pytest.approx(0, abs=1e-6)
    halves = np.full((600, 900), 80, np.uint8)
    halves[:, 450:] = 160
    large = pictures.encoded(Image.fromarray(halves), "PNG")
    assert guide_contrast(large, model, 600, 900) == pytest.approx(40 * LEVELS.gain / spread, rel=0.02)
