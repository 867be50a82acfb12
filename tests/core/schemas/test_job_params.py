"""Settings of jobs with a finished model, checked against the settings it was learned with."""

import pytest
from pydantic import ValidationError

from core.schemas.classification import ClassifyParams
from core.schemas.inpainting import InpaintParams, ResolvedInpaintParams
from core.schemas.jobs import Progress
from core.schemas.learned import LearnedSettings, boundary_of_pictures
from core.schemas.reconstruction import ReconstructParams
from core.schemas.sampling import (
    CANVAS_STEPS,
    DEFAULT_STEPS,
    MAX_SOFTNESS,
    MIN_SIDE,
    MIN_SOFTNESS,
    SHARD_PICTURES,
    BlendedModel,
    ResolvedSampleParams,
    SampleParams,
    datasets_of,
    models_of,
    with_ids,
    without_ids,
)

COMMON = {
    "image_size": 96,
    "layers": [
        {"filters": 4, "kernel_size": 9, "stride": 3},
        {"filters": 4, "kernel_size": 3},
    ],  # window: 15
    "step_size": 0.3,
    "reference_std": 1.0,
}
TEXTURE = LearnedSettings(**COMMON)
OBJECT = LearnedSettings(**COMMON, top="object", boundary="padded")
CANVAS = LearnedSettings(**COMMON, patch_size=48, canvas_iterations=300)
PATCHES = LearnedSettings(**COMMON, patch_size=12, boundary="valid")


def refusals(resolve):
    """Return the messages of all validation errors by field."""
    with pytest.raises(ValidationError) as caught:
        resolve()
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


def test_settings_without_top_and_patch_size_are_a_textures():
    assert TEXTURE.only_size is None
    assert (TEXTURE.side, TEXTURE.boundary) == (96, "torus")


@pytest.mark.parametrize(("learned", "side"), [(OBJECT, 96), (PATCHES, 12)])
def test_objects_and_patches_are_drawn_at_their_own_size_only(learned, side):
    resolved = SampleParams().resolved(learned, seed=1)
    assert (resolved.width, resolved.height) == (side, side)
    assert SampleParams(width=side, height=side).resolved(learned, seed=1) == resolved
    found = refusals(lambda: SampleParams(width=side + 1, height=side - 1).resolved(learned, seed=1))
    assert set(found) == {"width", "height"}
    assert all(f"must be {side}: the model learned" in message for message in found.values())


@pytest.mark.parametrize(
    ("learned", "asked", "steps"),
    [
        (TEXTURE, {}, DEFAULT_STEPS),
        (CANVAS, {}, CANVAS_STEPS),
        (CANVAS, {"steps": 7}, 7),
        (CANVAS, {"tileable": True}, CANVAS_STEPS),
        (CANVAS, {"start_dataset_id": "ds_1"}, DEFAULT_STEPS),
        (CANVAS, {"guide_dataset_id": "ds_1"}, DEFAULT_STEPS),
        (CANVAS, {"blend": [{"model_id": "model_1", "weight": 0.5}]}, DEFAULT_STEPS),
    ],
    ids=str,
)
def test_patches_of_a_canvas_take_fewer_steps(learned, asked, steps):
    assert SampleParams(**asked).resolved(learned, seed=1).steps == steps


@pytest.mark.parametrize("learned", [OBJECT, PATCHES])
def test_objects_and_patches_do_not_tile(learned):
    assert "must be false" in refusals(lambda: SampleParams(tileable=True).resolved(learned, seed=1))["tileable"]
    assert SampleParams(tileable=True, width=200).resolved(TEXTURE, seed=1).tileable


def test_a_texture_is_drawn_at_any_size_from_16_pixels():
    assert SampleParams(width=MIN_SIDE).resolved(TEXTURE, seed=1).width == MIN_SIDE
    found = refusals(lambda: SampleParams(width=MIN_SIDE - 1).resolved(TEXTURE, seed=1))
    assert found == {"width": f"Value error, must be at least {MIN_SIDE}"}


def test_a_variation_takes_a_share_of_the_steps():
    assert SampleParams().resolved(TEXTURE, seed=1).steps_taken == DEFAULT_STEPS
    resolved = SampleParams(start_dataset_id="dataset_1", steps=25).resolved(TEXTURE, seed=1)
    assert (resolved.start_strength, resolved.steps_taken) == (0.4, 10)
    for strength, steps in ((0, 0), (0.01, 1), (1, 25)):
        params = SampleParams(start_dataset_id="dataset_1", start_strength=strength, steps=25)
        assert params.resolved(TEXTURE, seed=1).steps_taken == steps
    assert datasets_of(resolved.model_dump()) == {"start_dataset_id": "dataset_1"}
    assert datasets_of({"iterations": 3}) == {}
    assert "needs start_dataset_id" in refusals(lambda: SampleParams(start_strength=0.5))["start_strength"]


def test_pictures_pass_evenly_from_one_to_another_and_one_alone_keeps_its_share_and_seed():
    both = {"start_dataset_id": "dataset_1", "end_dataset_id": "dataset_2"}
    resolved = SampleParams(**both, count=5, seed=7).resolved(TEXTURE, seed=1)
    assert resolved.end_shares == (0, 0.25, 0.5, 0.75, 1)
    assert (resolved.alone(3).count, resolved.alone(3).end_shares, resolved.alone(3).seed) == (1, (0.75,), 7)
    assert SampleParams(count=5, seed=7).resolved(TEXTURE, seed=1).alone(3).seed == 10
    assert SampleParams(**both, count=1).resolved(TEXTURE, seed=1).end_shares == (0.5,)
    assert datasets_of(resolved.model_dump()) == both
    few = refusals(lambda: SampleParams(**both, count=3, end_shares=(0, 1)).resolved(TEXTURE, seed=1))
    assert "must be 3, one for each picture, but are 2" in few["end_shares"]
    assert "needs start_dataset_id" in refusals(lambda: SampleParams(end_dataset_id="dataset_2"))["end_dataset_id"]
    assert "needs end_dataset_id" in refusals(lambda: SampleParams(end_shares=(0.5,)))["end_shares"]
    blend = [{"model_id": "model_1", "weight": 0.5}]
    assert "with blend" in refusals(lambda: SampleParams(**both, blend=blend))["end_dataset_id"]


def test_a_guide_is_for_textures_and_stays_below_the_strength_at_which_chains_diverge():
    resolved = SampleParams(guide_dataset_id="dataset_1").resolved(TEXTURE, seed=1)
    assert resolved.guide_strength == 0.05
    assert datasets_of(resolved.model_dump()) == {"guide_dataset_id": "dataset_1"}
    strong = SampleParams(guide_dataset_id="dataset_1", guide_strength=3.0, step_size=1.0)
    assert (
        "must be below 3 with a step_size of 1" in refusals(lambda: strong.resolved(TEXTURE, seed=1))["guide_strength"]
    )
    assert "needs guide_dataset_id" in refusals(lambda: SampleParams(guide_strength=0.5))["guide_strength"]
    guided = SampleParams(guide_dataset_id="dataset_1")
    assert "the model learned" in refusals(lambda: guided.resolved(OBJECT, seed=1))["guide_dataset_id"]


def test_a_blend_names_models_and_masks_and_is_for_textures():
    masked, everywhere = {"model_id": "m1", "mask_dataset_id": "d1"}, {"model_id": "m2", "weight": 0.5}
    params = SampleParams.model_validate({"blend": [masked, everywhere]}).resolved(TEXTURE, seed=1)
    stored = params.model_dump(mode="json")
    assert datasets_of(stored) == {"blend[0].mask_dataset_id": "d1"}
    assert models_of(stored) == {"blend[0].model_id": "m1", "blend[1].model_id": "m2"}
    left = without_ids(stored)
    of_second = {"mask_dataset_id": None, "weight": 0.5, "softness": None}
    assert left["blend"] == [{"weight": None, "softness": None}, of_second]
    assert with_ids(left, {**datasets_of(stored), **models_of(stored)}) == stored
    for blend in ([], [{"model_id": "m"}], [everywhere] * 8, [{**masked, "weight": 1.5}], [{"mask_dataset_id": "d"}]):
        assert refusals(lambda blend=blend: SampleParams.model_validate({"blend": blend}))
    largest = SampleParams(width=8192, height=4096, blend=[masked])
    assert largest.resolved(TEXTURE, seed=1).width == 8192
    too_large = largest.model_copy(update={"blend": largest.blend * 2})
    assert (
        "pixels of 3 models are 100,663,296, more than"
        in refusals(lambda: too_large.resolved(TEXTURE, seed=1))["blend"]
    )
    blended = SampleParams.model_validate({"blend": [masked]})
    assert "the model learned" in refusals(lambda: blended.resolved(OBJECT, seed=1))["blend"]


def test_stored_settings_are_read_without_the_model():
    resolved = SampleParams().resolved(PATCHES, seed=1)
    assert ResolvedSampleParams.model_validate(resolved.model_dump(mode="json")) == resolved


@pytest.mark.parametrize(
    ("count", "side", "counts"),
    [
        (SHARD_PICTURES, 96, []),
        (SHARD_PICTURES + 1, 96, [8, 1]),
        (64, 512, [8] * 8),
        (5, 1024, [2, 2, 1]),
        (3, 4096, [1, 1, 1]),
        (1, 4096, []),
    ],
)
def test_many_pictures_are_split_into_shards_by_their_number_and_size(count, side, counts):
    params = SampleParams(count=count, width=side, height=side).resolved(TEXTURE, seed=1)
    shards = params.shards()
    assert [shard.params.count for shard in shards] == counts
    assert [shard.first for shard in shards] == [sum(counts[:number]) for number in range(len(counts))]
    assert all(shard.params.model_copy(update={"count": count}) == params for shard in shards)


def test_the_progress_of_a_split_job_is_joined_from_its_shards():
    waits, works = Progress(stages=8), Progress(stage=4, stages=8, fraction=0.5, eta_seconds=4.0)
    ended = Progress(stage=1, stages=1, fraction=1.0, eta_seconds=0.0)
    assert Progress.of_shards([waits, waits], waits).eta_seconds is None
    joined = Progress.of_shards([waits, works, ended], works)
    assert (joined.stage, joined.stages, joined.eta_seconds) == (5, 17, 12.0)
    assert joined.fraction == pytest.approx(5 / 17)
    assert Progress.of_shards([ended, ended], ended) == Progress(stage=2, stages=2, fraction=1.0, eta_seconds=0.0)


def test_inpainting_takes_absent_settings_from_the_model():
    resolved = InpaintParams(steps=5).resolved(TEXTURE, seed=9)
    assert (resolved.count, resolved.steps, resolved.step_size, resolved.seed) == (1, 5, 0.3, 9)
    assert InpaintParams(step_size=0.1, seed=0).resolved(TEXTURE, seed=9).seed == 0
    assert ResolvedInpaintParams.model_validate(resolved.model_dump(mode="json")) == resolved
    found = refusals(lambda: InpaintParams(step_size=2.0).resolved(TEXTURE, seed=1))
    assert "below 2 x the model's reference_std = 2" in found["step_size"]


def test_a_seam_leaves_a_middle_and_is_for_models_that_continue():
    resolved = InpaintParams(seam=True, seam_width=47).resolved(TEXTURE, seed=1)
    assert (resolved.seam, resolved.seam_width) == (True, 47)
    found = refusals(lambda: InpaintParams(seam=True, seam_width=48).resolved(TEXTURE, seed=1))
    assert "must be below 48" in found["seam_width"]
    assert InpaintParams(seam=True).resolved(TEXTURE, seed=1).seam_width == 15


def test_the_painting_of_a_seam_takes_fewer_steps_unless_asked():
    steps = [InpaintParams(**given).resolved(TEXTURE, seed=1).steps for given in ({}, {"seam": True})]
    assert steps == [200, 60]
    assert InpaintParams(seam=True, steps=20).resolved(TEXTURE, seed=1).steps == 20
    small = TEXTURE.model_copy(update={"image_size": 32})
    assert InpaintParams(seam=True).resolved(small, seed=1).seam_width == 8
    assert InpaintParams().resolved(TEXTURE, seed=1).seam_width is None
    assert "needs seam" in refusals(lambda: InpaintParams(seam_width=8))["seam_width"]
    assert "the model learned an object" in refusals(lambda: InpaintParams(seam=True).resolved(OBJECT, seed=1))["seam"]


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (ReconstructParams, "mode", "twice"),
        (ReconstructParams, "steps", 0),
        (ReconstructParams, "steps", 100_001),
        (ReconstructParams, "seed", 1),
        (ReconstructParams, "frames", 2),  # of mode one_pass
        (ReconstructParams, "frames", 33),
        (SampleParams, "start_dataset_id", ""),
        (InpaintParams, "count", 0),
        (InpaintParams, "count", 65),
        (InpaintParams, "steps", 0),
        (InpaintParams, "step_size", 0),
        (InpaintParams, "step_size", float("nan")),
        (InpaintParams, "width", 96),
        (ClassifyParams, "chains", 1),
        (ClassifyParams, "temperatures", 0),
        (ClassifyParams, "steps", 0),
        (ClassifyParams, "seed", 2**63),
    ],
)
def test_invalid_settings_are_refused_with_the_field(model, field, value):
    assert set(refusals(lambda: model.model_validate({field: value}))) == {field}


def test_one_pass_takes_one_step_and_the_attractor_as_many_as_set():
    assert ReconstructParams().passes == 1
    assert ReconstructParams(mode="attractor", steps=7).passes == 7


def test_classification_keeps_the_models_order_and_counts_its_steps():
    resolved = ClassifyParams(temperatures=10, steps=3).resolved(("b", "a"), seed=4)
    assert (resolved.model_ids, resolved.seed, resolved.all_steps) == (("b", "a"), 4, 60)
    assert ClassifyParams(seed=0).resolved(("b", "a"), seed=4).seed == 0


def test_uploaded_pictures_are_not_periodic():
    assert [boundary_of_pictures(one) for one in ("valid", "torus", "padded")] == ["valid", "valid", "padded"]


def test_softness_is_of_a_mask_and_can_be_computed():
    for softness in (None, MIN_SOFTNESS, MAX_SOFTNESS):
        assert BlendedModel(model_id="m", mask_dataset_id="d", softness=softness).softness == softness
    for softness in (1e-200, MIN_SOFTNESS / 2, 1.1 * MAX_SOFTNESS):
        assert set(refusals(lambda: BlendedModel(model_id="m", mask_dataset_id="d", softness=softness))) == {"softness"}  # noqa: B023
    found = refusals(lambda: BlendedModel(model_id="m", weight=0.5, softness=0.25))
    assert found == {"softness": "Value error, needs mask_dataset_id, the mask whose border is softened"}
