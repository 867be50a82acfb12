import pytest
import torch
from training import pictures, with_

from core.pictures.orientations import turned
from core.pictures.training_set import TrainingSet
from core.recipe.examples import examples_of


@pytest.mark.parametrize(("count", "examples"), [(1, 3), (2, 3), (5, 4)])
def test_the_examples_show_every_orientation(count, examples):
    params, images = with_(orientations=("0", "180", "flipped-90")), pictures(count=count)
    expected = [turned(images[i % min(count, 4)], params.orientations[i % 3]) for i in range(examples)]
    assert torch.equal(examples_of(TrainingSet.of(images), params), torch.stack(expected))
