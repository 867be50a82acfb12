import pytest

from core.schemas.geometry import top_side
from core.schemas.learning import LearningParams

GOOD = {"image_size": 32, "layers": [{"filters": 4, "kernel_size": 7, "stride": 2}, {"filters": 3, "kernel_size": 3}]}
LEVELS = {**GOOD, "image_size": 128, "patch_size": 24, "boundary": "torus", "layerwise": False, "canvas_iterations": 9}


def test_a_canvas_is_a_last_stage_with_one_chain_as_large_as_the_picture():
    windows = {**GOOD, "patch_size": 24, "boundary": "torus"}
    params = LearningParams.model_validate({**windows, "canvas_iterations": 9, "layerwise": False})
    assert (params.stages, params.layer_stages) == (2, 1)
    assert LearningParams.model_validate({**windows, "canvas_iterations": 9}).stages == 3
    assert LearningParams.model_validate(windows).of_stage(1) == LearningParams.model_validate(windows)
    of_canvas = params.of_stage(1)
    assert params.of_stage(0) == LearningParams.model_validate({**windows, "layerwise": False})
    assert (of_canvas.patch_size, of_canvas.num_chains, of_canvas.batch_size, of_canvas.iterations) == (None, 1, 1, 9)


@pytest.mark.parametrize(
    ("image_size", "orientations", "canvas", "coarse"),
    [
        (512, ["0"], (512, None), (128, None)),
        (1024, ["0"], (1024, None), (256, None)),
        (2048, ["0"], (2048, 1024), (512, 256)),
        (4096, ["90"], (4096, 1024), (1024, 256)),
        (512, "any", (512, 358), (128, 86)),
        (4096, "any", (4096, 1024), (1024, 256)),
    ],
)
def test_coarse_picture_and_canvas_show_the_same_part_of_the_picture(image_size, orientations, canvas, coarse):
    settings = {**LEVELS, "image_size": image_size, "orientations": orientations, "coarse_iterations": 5}
    params = LearningParams.model_validate(settings)
    first, last = params.of_stage(0), params.of_stage(2)
    assert (last.image_size, last.patch_size) == canvas
    assert (first.image_size, first.patch_size) == coarse
    assert last.side / first.side == pytest.approx(last.image_size / first.image_size, rel=0.05)


def test_the_canvas_is_never_smaller_than_a_window():
    params = LearningParams.model_validate({**LEVELS, "image_size": 40, "patch_size": 25, "orientations": "any"})
    assert params.of_stage(1).side == 25


def test_a_coarse_level_is_a_stage_before_the_others_with_a_smaller_picture():
    params = LearningParams.model_validate({**LEVELS, "coarse_iterations": 5, "iterations": 7, "even_light": 20})
    assert (params.stages, params.layer_stages, params.coarse_stages) == (3, 1, 1)
    coarse = params.of_stage(0)
    assert (coarse.image_size, coarse.patch_size, coarse.side, coarse.stages) == (32, None, 32, 1)
    assert [params.of_stage(stage).iterations for stage in range(3)] == [5, 7, 9]
    assert [params.iterations_before(stage) for stage in range(4)] == [0, 5, 12, 21]
    rates = [params.of_stage(stage).learning_rate / params.learning_rate for stage in range(3)]
    assert rates == pytest.approx([2 / 3, 1, 1 / 2])
    assert params.of_stage(1) == LearningParams.model_validate(
        {**LEVELS, "iterations": 7, "even_light": 20, "canvas_iterations": 0}
    )


@pytest.mark.parametrize("image_size", [94, 95, 96, 97])
def test_the_coarse_level_of_an_object_has_all_chains_and_a_net_whose_maps_are_as_large(image_size):
    params = LearningParams.model_validate(
        {
            "image_size": image_size,
            "layers": [{"filters": 4, "kernel_size": 12, "stride": 6}, {"filters": 3, "kernel_size": 3, "stride": 2}],
            "top": "object",
            "layerwise": False,
            "boundary": "padded",
            "num_chains": 5,
            "coarse_iterations": 7,
            "coarse_factor": 3,
            "iterations": 9,
        }
    )
    assert (params.stages, params.coarse_stages, params.layer_stages) == (2, 1, 1)
    coarse, full = params.of_stage(0), params.of_stage(1)
    assert (coarse.image_size, coarse.num_chains, coarse.iterations, coarse.stages) == (image_size // 3, 5, 7, 1)
    assert [(one.filters, one.kernel_size, one.stride) for one in coarse.layers] == [(4, 4, 2), (3, 3, 2)]
    assert full.layers == params.layers
    assert (coarse.learning_rate, full.learning_rate) == (pytest.approx(params.learning_rate / 3), params.learning_rate)
    sides = [top_side(one.layers, one.side, one.boundary) for one in (coarse, full)]
    assert sides[0] == sides[1]
