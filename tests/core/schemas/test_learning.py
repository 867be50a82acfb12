import subprocess
import sys
from pathlib import Path

import pytest
from learned_settings import GOOD, refusal
from pydantic import ValidationError

import core
from core.schemas.learned import LearnedSettings
from core.schemas.learning import DEFAULT_MAX_BATCH, MAX_SEED, LearningParams
from core.schemas.net import LayerParams

NAN, INFINITY = float("nan"), float("inf")


def test_valid_settings_are_kept_and_defaults_are_the_papers():
    params = LearningParams.model_validate({**GOOD, "seed": 5})
    assert params.layers == (LayerParams(filters=4, kernel_size=7, stride=2), LayerParams(filters=3, kernel_size=3))
    assert (params.num_chains, params.langevin_steps, params.reference_std, params.iterations) == (16, 10, 1.0, 700)
    assert params.initialization == "zero"
    assert params.layerwise
    assert params.stages == 2
    assert params.model_copy(update={"layerwise": False}).stages == 1


def test_settings_survive_json():
    params = LearningParams.model_validate({**GOOD, "seed": MAX_SEED, "learning_rate": 0.1, "orientations": "any"})
    assert params.any_angle
    assert params.turns == ()
    assert LearningParams.model_validate_json(params.model_dump_json()) == params


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_every_precision_is_accepted_and_kept(precision):
    assert LearningParams.model_validate({**GOOD, "precision": precision}).precision == precision


def test_settings_are_frozen():
    params = LearningParams.model_validate(GOOD)
    with pytest.raises(ValidationError, match="frozen"):
        params.iterations = 3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image_size", 15, "greater than or equal to 16"),
        ("image_size", 4097, "less than or equal to 4096"),
        ("layers", [], "at least 1"),
        ("patch_size", 1, "greater than or equal to 2"),
        ("patch_size", 513, "less than or equal to 512"),
        ("patch_size", 33, "must be at most image_size, 32"),
        ("top", "round", "'convolutional', 'object' or 'category'"),
        ("contrastive", "perhaps", "boolean"),
        ("batch_size", 0, "greater than or equal to 1"),
        ("batch_size", 1025, "less than or equal to 1024"),
        ("bounded", "perhaps", "boolean"),
        ("random_lattice", "perhaps", "boolean"),
        ("contrast", 0, "greater than 0"),
        ("contrast", 128, "less than or equal to 127"),
        ("contrast", NAN, "finite"),
        ("picture_noise", -1, "greater than or equal to 0"),
        ("picture_noise", 128, "less than or equal to 127"),
        ("picture_noise", INFINITY, "finite"),
        ("num_chains", 0, "greater than or equal to 1"),
        ("num_chains", 257, "less than or equal to 256"),
        ("langevin_steps", 0, "greater than or equal to 1"),
        ("iterations", 0, "greater than or equal to 1"),
        ("iterations", 1.5, "integer"),
        ("canvas_iterations", -1, "greater than or equal to 0"),
        ("canvas_iterations", 100_001, "less than or equal to 100000"),
        ("canvas_iterations", 1, "must be 0 without patch_size"),
        ("coarse_iterations", -1, "greater than or equal to 0"),
        ("coarse_iterations", 1, "must be 0 without canvas_iterations"),
        ("coarse_factor", 1, "greater than or equal to 2"),
        ("coarse_factor", 17, "less than or equal to 16"),
        ("optimizer", "sgd", "'adam' or 'spectral'"),
        ("learning_rate", 0, "greater than 0"),
        ("learning_rate", 2, "less than or equal to 1"),
        ("learning_rate", NAN, "finite"),
        ("weight_decay", -1, "greater than or equal to 0"),
        ("weight_decay", 1000.5, "less than or equal to 1000"),
        ("weight_decay", NAN, "finite"),
        ("step_size", 0, "greater than 0"),
        ("step_size", NAN, "finite"),
        ("step_size", INFINITY, "finite"),
        ("reference_std", 0, "greater than 0"),
        ("reference_std", 256, "less than or equal to 255"),
        ("reference_std", NAN, "finite"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", MAX_SEED + 1, f"less than or equal to {MAX_SEED}"),
        ("initialization", "warm", "'zero', 'noise' or 'data'"),
        ("boundary", "sphere", "'valid', 'torus' or 'padded'"),
        ("precision", "float64", "'float32' or 'bfloat16'"),
        ("checkpoint_seconds", 0, "greater than or equal to 1"),
        ("checkpoint_seconds", NAN, "finite"),
        ("learning_rat", 0.1, "not permitted"),
    ],
)
def test_invalid_settings_are_refused_with_field_and_bound(field, value, message):
    where, what = refusal(LearningParams, **{**GOOD, field: value})
    assert where == field
    assert message in what


@pytest.mark.parametrize(
    ("layer", "field", "message"),
    [
        ({"filters": 0, "kernel_size": 3}, "filters", "greater than or equal to 1"),
        ({"filters": 513, "kernel_size": 3}, "filters", "less than or equal to 512"),
        ({"filters": 4, "kernel_size": 64}, "kernel_size", "less than or equal to 63"),
        ({"filters": 4, "kernel_size": 3, "stride": 0}, "stride", "greater than or equal to 1"),
        ({"filters": 4, "kernel_size": 3, "padding": 1}, "padding", "not permitted"),
        ({"filters": 4}, "kernel_size", "required"),
    ],
)
def test_invalid_layers_are_refused_with_their_index(layer, field, message):
    where, what = refusal(LearningParams, image_size=64, layers=[{"filters": 4, "kernel_size": 3}, layer])
    assert where == f"layers.1.{field}"
    assert message in what


@pytest.mark.parametrize(("boundary", "fixed"), [("torus", False), ("valid", True), ("padded", True)])
def test_patches_on_the_torus_are_windows_of_a_texture_that_is_drawn_at_any_size(boundary, fixed):
    params = LearningParams.model_validate({**GOOD, "patch_size": 16, "boundary": boundary})
    learned = LearnedSettings.model_validate(params.model_dump())
    assert params.side == 16
    assert params.fixed_size is learned.of_patches is fixed
    assert (learned.only_size is not None) is fixed
    assert learned.side == (16 if fixed else GOOD["image_size"])


def test_seeded_sets_only_an_absent_seed():
    params = LearningParams.model_validate(GOOD)
    assert params.seeded(3).seed == 3
    assert params.seeded(3).seeded(4).seed == 3


SCHEMAS = ["core.recipe.presets"] + [
    f"core.schemas.{path.stem}"
    for path in sorted((Path(core.__file__).parent / "schemas").glob("*.py"))
    if path.stem != "__init__"
]


def test_schemas_and_presets_do_not_import_torch():
    """The API lists and checks settings on machines without torch."""
    script = f"import sys; import {', '.join(SCHEMAS)}; sys.exit('torch' in sys.modules)"
    root = Path(core.__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", script], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize(
    ("settings", "pictures", "most"),
    [
        ({"num_chains": 3}, 1, 3),
        ({"num_chains": 1}, 5, 5),
        ({"num_chains": 1}, 2000, DEFAULT_MAX_BATCH),
        ({"num_chains": 1, "batch_size": 4}, 2000, 4),
        ({"num_chains": 1, "batch_size": 4, "patch_size": 20}, 1, 4),
        ({"num_chains": 16, "contrastive": True, "boundary": "padded"}, 2, 2),
    ],
)
def test_an_iteration_is_divided_among_at_most_as_many_processes_as_it_has_chains_or_pictures(settings, pictures, most):
    assert LearningParams(**{**GOOD, **settings}).most_processes(pictures) == most
