"""Learning the dictionary of the prototype model from patches."""

import pytest
import torch
from nets import seeded

from core.pictures.images import filter_sheet
from core.pictures.training_set import cut_patches
from core.recipe.dictionary import dictionary_params, learn_dictionary
from core.schemas.net import LayerParams
from core.theory.model import GenerativeConvNet
from core.theory.prototype import Prototype, prototype_architecture

EXACT = {"rtol": 1e-9, "atol": 1e-9}
SHAPES = [(5, 7, 1, 1.0), (3, 4, 3, 2.5), (1, 6, 2, 0.7), (10, 12, 1, 1.0)]  # patch size, filters, channels, σ

every_shape = pytest.mark.parametrize(("size", "filters", "channels", "reference_std"), SHAPES)


def bars(count=3, size=24):
    """Upright bars two pixels wide, of 100 grey levels, at places of their own, about their mean."""
    images = torch.zeros(count, 1, size, size)
    for image in images:
        for column in torch.randperm(size // 3, generator=seeded(len(image)))[:4].tolist():
            image[:, :, 3 * column : 3 * column + 2] = 100.0
    return images - images.mean()


def test_a_dictionary_is_learned_that_reconstructs_the_patches_of_its_pictures():
    """Before learning nothing is reconstructed; after it most of what the patches are, and bars in the dictionary."""
    pictures = bars()
    params = dictionary_params(6, 12, seed=1, iterations=100)
    net = learn_dictionary(pictures, params)
    assert net.architecture == prototype_architecture(6, 12, channels=1, reference_std=params.reference_std)
    prototype = Prototype.of(net)
    patches = cut_patches(pictures, 6, 200, seeded(3))
    error = (patches - prototype.reconstruct(patches)).square().mean() / patches.square().mean()
    assert error < 0.5
    before = Prototype.of(GenerativeConvNet(net.architecture, seeded(1)))
    assert (patches - before.reconstruct(patches)).square().mean() / patches.square().mean() > 0.9
    along = prototype.dictionary.mean(dim=2, keepdim=True).expand_as(prototype.dictionary)
    assert (prototype.dictionary - along).square().sum() < 0.2 * prototype.dictionary.square().sum()  # upright bars
    assert filter_sheet(prototype.dictionary).dtype == torch.uint8


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": (LayerParams(filters=4, kernel_size=5),)},
        {"layers": (LayerParams(filters=4, kernel_size=6), LayerParams(filters=4, kernel_size=1))},
        {"boundary": "padded"},
        {"top": "category"},
    ],
    ids=str,
)
def test_settings_of_another_model_are_refused(settings):
    with pytest.raises(ValueError, match="one layer of filters as large as the patch"):
        learn_dictionary(bars(), dictionary_params(6, 4, seed=0, **settings))
