import pytest
import torch
from training import CPU, PARAMS, pictures, with_

from core.engine.parallel import threads
from core.pictures.colour_box import ColourBox
from core.pictures.training_set import TrainingSet
from core.recipe.learner import Learner
from core.recipe.lighting import evened
from core.recipe.preparation import dynamics_of, prepare_for

WIDE_STEPS = with_(reference_std=5.0, step_size=3.0, layerwise=False)


@pytest.mark.parametrize("contrastive", [True, False])
def test_bounded_chains_stay_in_the_pictures_colour_box_plus_sigma(contrastive):
    """The pictures' extremes stand so close together that free chains leave them at once."""
    images = pictures()
    box = ColourBox(torch.full((1, 1, 1), -4.0), torch.full((1, 1, 1), 6.0))
    memory = TrainingSet.of(images)
    confined = TrainingSet(memory.count, 1, memory.std, box, CPU, memory.read)
    boundary = "padded" if contrastive else "torus"
    for bounded in (True, False):
        params = with_(WIDE_STEPS, bounded=bounded, contrastive=contrastive, boundary=boundary)
        learner = Learner(confined, params)
        for _ in range(4):
            learner.update()
        chains = learner.state.chains
        within = chains.min() >= -9 and chains.max() <= 11
        assert within == bounded
    assert dynamics_of(PARAMS, box).box is None


@pytest.mark.parametrize("seed", range(3))
def test_prepared_pictures_do_not_depend_on_the_number_of_threads(seed):
    """Sums over so many pixels are divided among threads."""
    photographs = 255 * torch.rand(1, 1, 224, 224, generator=torch.Generator().manual_seed(seed))
    found = []
    for count in (1, 2):
        with threads(count):
            found.append(prepare_for(with_(even_light=56.0, contrast=50.0), photographs))
    (one, levels), (other, other_levels) = found
    assert torch.equal(one, other)
    assert levels.gain == other_levels.gain
    assert torch.equal(levels.box.low, other_levels.box.low)


@pytest.mark.parametrize("settings", [{}, {"contrast": 40.0}, {"even_light": 2.0, "contrast": 40.0}], ids=str)
def test_prepared_pictures_are_centred_and_stretched_and_lead_back_to_the_evenly_lit_ones(settings):
    shades = torch.tensor([90.0, 110.0, 150.0])[:, None, None, None]
    photographs = shades + 10 * torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    params = with_(**settings)
    prepared, levels = prepare_for(params, photographs)
    assert prepared.mean().item() == pytest.approx(0, abs=1e-3)
    if params.contrast is not None:
        assert prepared.square().mean().sqrt().item() == pytest.approx(params.contrast, rel=1e-4)
    even = torch.stack([evened(one, params.even_light) for one in photographs])
    expected = even if params.even_light is None else even - even.mean(dim=(2, 3), keepdim=True) + even.mean()
    torch.testing.assert_close(levels.to_grey_levels(prepared), expected, rtol=0, atol=1e-3)
