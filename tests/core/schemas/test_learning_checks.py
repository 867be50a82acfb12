"""What the settings of learning demand of each other, said by field."""

import pytest
from learned_settings import GOOD, refusal

from core.schemas.learning import LearningParams


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"orientations": ["any", "0"]}, "any alone"),
        ({"patch_size": 24}, "image_size of at least 38"),
        ({"top": "object", "boundary": "padded"}, "needs patch_size with top object"),
        ({"contrastive": True, "boundary": "padded"}, "needs patch_size with top object and with contrastive"),
    ],
    ids=str,
)
def test_any_angle_is_refused_where_nothing_would_be_left(settings, message):
    where, what = refusal(LearningParams, **{**GOOD, "orientations": "any", **settings})
    assert where == "orientations"
    assert message in what


def test_a_canvas_needs_windows_of_a_texture():
    where, message = refusal(LearningParams, **{**GOOD, "patch_size": 24, "boundary": "valid", "canvas_iterations": 1})
    assert where == "canvas_iterations"
    assert "must be 0 unless boundary is torus" in message


LEVELS = {**GOOD, "image_size": 128, "patch_size": 24, "boundary": "torus", "layerwise": False, "canvas_iterations": 9}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coarse_factor": 16}, "smaller coarse_factor, or must be 0: of the picture, 8 x 8 pixels are left: at least"),
        ({"orientations": "any", "coarse_factor": 7}, "pixels are left: at least 16 x 16 are needed"),
        ({"layers": [{"filters": 2, "kernel_size": 20}], "coarse_factor": 7}, "18 x 18 pixels are left: layers"),
        (
            {"layers": [{"filters": 2, "kernel_size": 18, "stride": 2}], "coarse_factor": 7, "random_lattice": True},
            "18 x 18 pixels are left: needs pictures larger than the net's window",
        ),
    ],
    ids=str,
)
def test_a_coarse_level_that_cannot_be_learned_is_refused(settings, message):
    where, what = refusal(LearningParams, **{**LEVELS, "coarse_iterations": 5, **settings})
    assert where == "coarse_iterations"
    assert message in what


OBJECT = {
    "image_size": 64,
    "layers": [{"filters": 4, "kernel_size": 6, "stride": 2}, {"filters": 3, "kernel_size": 3}],
    "top": "object",
    "layerwise": False,
    "boundary": "padded",
    "coarse_factor": 2,
}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"layers": [{"filters": 4, "kernel_size": 5}]},
            "unless kernel_size and stride of layers[0] can be divided by",
        ),
        (
            {"layers": [{"filters": 4, "kernel_size": 6}]},
            "unless stride of layers[0] can be divided by coarse_factor, 2",
        ),
        ({"layerwise": True}, "must be 0 with layerwise: an object's coarse level learns its whole net"),
        ({"image_size": 28}, "must be 0 with an image_size below 32, 2 x 16"),
        ({"patch_size": 32}, "must be 0 with patch_size"),
    ],
    ids=str,
)
def test_a_coarse_level_whose_net_is_not_that_of_the_object_made_smaller_is_refused(settings, message):
    for size in (64, 65):
        LearningParams.model_validate({**OBJECT, "image_size": size, "coarse_iterations": 5})
    LearningParams.model_validate({**OBJECT, **settings})
    where, what = refusal(LearningParams, **{**OBJECT, "coarse_iterations": 5, **settings})
    assert where == "coarse_iterations"
    assert message in what


@pytest.mark.parametrize(
    ("layers", "patch_size", "message"),
    [
        ([{"filters": 512, "kernel_size": 3}] * 8, 32, "units"),
        ([{"filters": 64, "kernel_size": 3}] * 8, 32, "units"),
    ],
)
def test_a_net_that_is_too_large_for_the_canvas_is_refused(layers, patch_size, message):
    settings = {**LEVELS, "image_size": 1024, "layers": layers, "patch_size": patch_size}
    where, what = refusal(LearningParams, **settings)
    assert where == "canvas_iterations"
    assert message in what
    LearningParams.model_validate({**settings, "canvas_iterations": 0})


@pytest.mark.parametrize(("reference_std", "step_size"), [(1.0, 2.0), (1.0, 5.0), (0.1, 0.3)])
def test_a_step_size_of_two_sigma_or_more_is_refused(reference_std, step_size):
    where, what = refusal(LearningParams, **GOOD, reference_std=reference_std, step_size=step_size)
    assert where == "step_size"
    assert f"2 x reference_std = {2 * reference_std:g}" in what


def test_the_default_step_size_is_checked_against_the_given_sigma():
    where, _ = refusal(LearningParams, **GOOD, reference_std=0.1)
    assert where == "step_size"


@pytest.mark.parametrize("learning_rate", [0.01, 1.0])
def test_a_weight_decay_that_leaves_nothing_of_filters_is_refused(learning_rate):
    largest = 1 / learning_rate
    where, what = refusal(LearningParams, **GOOD, learning_rate=learning_rate, weight_decay=largest)
    assert where == "weight_decay"
    assert f"must be below 1 / learning_rate = {largest:g}" in what
    LearningParams.model_validate({**GOOD, "learning_rate": learning_rate, "weight_decay": 0.99 * largest})


@pytest.mark.parametrize(
    "settings",
    [{"top": "object"}, {"contrastive": True}, {"top": "object", "patch_size": 16}],
    ids=str,
)
def test_objects_and_contrastive_learning_are_refused_on_the_torus(settings):
    for given in ({}, {"boundary": "torus"}):
        where, what = refusal(LearningParams, **GOOD, **settings, **given)
        assert where == "boundary"
        assert "must be valid or padded" in what
        assert next(iter(settings)) in what
    for boundary in ("valid", "padded"):
        assert LearningParams.model_validate({**GOOD, **settings, "boundary": boundary}).boundary == boundary


@pytest.mark.parametrize("boundary", ["valid", "padded"])
def test_random_lattice_needs_the_torus(boundary):
    where, what = refusal(LearningParams, **GOOD, random_lattice=True, boundary=boundary)
    assert where == "random_lattice"
    assert "needs boundary torus" in what


@pytest.mark.parametrize(("image_size", "fits"), [(19, False), (20, False), (21, True)])
def test_random_lattice_needs_pictures_larger_than_the_window_by_the_stride(image_size, fits):
    """The window is 4 + 3 (5 - 1) = 16 pixels, the stride 6: up to 5 pixels are cut off, and 16 must remain."""
    layers = [{"filters": 4, "kernel_size": 4, "stride": 3}, {"filters": 3, "kernel_size": 5, "stride": 2}]
    settings = {"image_size": image_size, "layers": layers, "random_lattice": True}
    if fits:
        assert LearningParams.model_validate(settings).random_lattice
        return
    where, what = refusal(LearningParams, **settings)
    assert where == "random_lattice"
    assert "stride of 6 pixels" in what
    assert not LearningParams.model_validate({**settings, "random_lattice": False}).random_lattice


def test_large_pictures_are_learned_by_patches():
    where, what = refusal(LearningParams, **{**GOOD, "image_size": 1025})
    assert where == "patch_size"
    assert "must be set for an image_size of 1025" in what
    assert LearningParams.model_validate({**GOOD, "image_size": 4096, "patch_size": 64}).side == 64


def test_layers_must_fit_the_patches():
    settings = {"image_size": 32, "boundary": "valid", "layers": [{"filters": 4, "kernel_size": 12}]}
    where, what = refusal(LearningParams, **settings, patch_size=11)
    assert where == "layers"
    assert "pictures of 11 x 11 pixels" in what
    assert LearningParams.model_validate({**settings, "patch_size": 12}).side == 12
    assert LearningParams.model_validate(settings).side == 32


def test_an_object_may_be_smaller_than_the_nets_window_if_it_is_padded():
    layers = [{"filters": 4, "kernel_size": 14, "stride": 4}, {"filters": 3, "kernel_size": 5}]
    settings = {"image_size": 16, "layers": layers, "top": "object", "layerwise": False}
    LearningParams.model_validate({**settings, "boundary": "padded"})
    where, what = refusal(LearningParams, **settings, boundary="valid")
    assert where == "boundary"
    assert "must be padded, or needs smaller layers: layers[1].kernel_size is 5, but" in what
    where, what = refusal(LearningParams, **{**settings, "top": "convolutional", "boundary": "padded"})
    assert where == "layers"
