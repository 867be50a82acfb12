"""The presets: valid, described, and with the numbers of the paper's experiments."""

import pytest

from core.recipe.presets import DESCRIPTIONS, PRESETS, few_iterations, usual_learning_rate
from core.schemas.learning import LearningParams


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_valid_settings(name):
    assert LearningParams.model_validate(PRESETS[name].model_dump()) == PRESETS[name]


def test_exactly_the_presets_are_described():
    assert DESCRIPTIONS.keys() == PRESETS.keys()
    assert all(description.endswith(".") for description in DESCRIPTIONS.values())


def test_the_object_preset_has_the_papers_numbers():
    """Sec. 7.2: 100 filters of 7 x 7 every 2, 64 of 5 x 5, 20 of 3 x 3, and one that covers the whole, grown."""
    one = PRESETS["object"]
    assert [(layer.filters, layer.kernel_size, layer.stride) for layer in one.layers] == [
        (100, 7, 2),
        (64, 5, 1),
        (20, 3, 1),
    ]
    assert (one.top, one.layerwise, one.contrastive) == ("object", True, False)
    assert (one.image_size, one.langevin_steps, one.iterations) == (224, 10, 700)
    assert one.reference_std**2 == 1


def test_the_autoencoder_preset_has_the_papers_numbers():
    """Sec. 7.3: the net of Experiment 1, all layers at once by one-step contrastive divergence, T 1200."""
    one = PRESETS["autoencoder"]
    assert one.layers == PRESETS["texture"].layers
    assert (one.layerwise, one.contrastive, one.langevin_steps) == (False, True, 1)
    assert (one.image_size, one.iterations, one.top, one.patch_size) == (224, 1200, "convolutional", None)
    assert one.reference_std**2 == 1


def test_the_texture_preset_has_the_papers_numbers():
    """Sec. 7 and 7.1: 100 filters of 15 x 15 every 3, 64 of 5 x 5, 30 of 3 x 3; 224 pixels; M̃ 16, L 10, T 700, σ² 1."""
    texture = PRESETS["texture"]
    assert [(layer.filters, layer.kernel_size, layer.stride) for layer in texture.layers] == [
        (100, 15, 3),
        (64, 5, 1),
        (30, 3, 1),
    ]
    assert texture.layerwise
    assert texture.image_size == 224
    assert texture.num_chains == 16
    assert texture.langevin_steps == 10
    assert texture.iterations == 700
    assert texture.reference_std**2 == 1
    assert texture.initialization == "zero"


def test_few_iterations_are_those_far_below_a_presets():
    def few(preset, **changes):
        return few_iterations(PRESETS[preset].model_copy(update=changes))

    assert [few(name) for name in PRESETS] == [[]] * len(PRESETS)
    assert few("quick", iterations=199) == ["iterations"]
    assert few("quick", iterations=200, image_size=32) == []
    assert few("photo", coarse_iterations=10, canvas_iterations=5) == ["coarse_iterations", "canvas_iterations"]
    assert few("photo", coarse_iterations=0, canvas_iterations=0) == [], "stages that were left out"
    assert few("quick", optimizer="adam", iterations=99) == ["iterations"]
    assert few("quick", optimizer="adam", iterations=100) == []


def rate(preset="quick", **changed):
    return usual_learning_rate(PRESETS[preset].model_copy(update=changed), PRESETS[preset])


def test_a_texture_learned_whole_is_learned_more_slowly_in_more_iterations_than_its_preset_has_for_its_pixels():
    quick = PRESETS["quick"]
    usual = quick.learning_rate
    assert rate() == rate(iterations=40) == rate(learning_rate=1.0) == rate(image_size=48) == usual
    assert rate(iterations=1600) == usual / 4
    assert rate(iterations=1600, image_size=2 * quick.image_size) == usual
    assert rate(iterations=3200, image_size=2 * quick.image_size) == usual / 2
    assert [rate(name) for name in PRESETS] == [preset.learning_rate for preset in PRESETS.values()]


def test_a_preset_that_learns_windows_or_by_adam_is_no_measure_for_textures_learned_whole():
    whole = {"patch_size": None, "coarse_iterations": 0, "canvas_iterations": 0, "image_size": 192, "iterations": 3200}
    assert rate("photo", **whole) == PRESETS["quick"].learning_rate / 2
    assert rate("texture-full", optimizer="spectral") == PRESETS["texture-full"].learning_rate


@pytest.mark.parametrize(
    "changed",
    [{"patch_size": 64}, {"optimizer": "adam"}, {"top": "object"}, {"contrastive": True}, {"layerwise": True}],
)
def test_what_is_not_learned_whole_by_spectral_descent_keeps_its_rate(changed):
    assert rate(iterations=100_000, **changed) == PRESETS["quick"].learning_rate
