import pytest
import torch
from training import CPU, PARAMS, pictures, with_

from core.pictures.colour_box import ColourBox
from core.pictures.training_set import TrainingSet
from core.recipe.dynamics import dynamics_of
from core.recipe.learner import Learner

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
