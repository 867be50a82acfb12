import pytest
from learned_settings import CANVAS, OBJECT, PATCHES, TEXTURE, refusals

from core.schemas.fields import DEFAULT_STEPS
from core.schemas.sampling import (
    CANVAS_STEPS,
    MIN_SIDE,
    SHARD_PICTURES,
    ResolvedSampleParams,
    SampleParams,
    with_later_settings,
)


def test_sampling_takes_absent_settings_from_the_model():
    resolved = SampleParams().resolved(TEXTURE, seed=9)
    assert (resolved.width, resolved.height, resolved.step_size, resolved.seed) == (96, 96, 0.3, 9)
    given = SampleParams(width=20, height=30, step_size=0.1, seed=0).resolved(TEXTURE, seed=9)
    assert (given.width, given.height, given.step_size, given.seed) == (20, 30, 0.1, 0)


def test_sampling_refuses_a_step_size_of_two_sigma_or_more():
    found = refusals(lambda: SampleParams(step_size=2.0).resolved(TEXTURE, seed=1))
    assert "below 2 x the model's reference_std = 2" in found["step_size"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("count", 0, "greater than or equal to 1"),
        ("count", 65, "less than or equal to 64"),
        ("width", 1, "greater than or equal to 2"),
        ("height", 8193, "less than or equal to 8192"),
        ("steps", 0, "greater than or equal to 1"),
        ("step_size", float("nan"), "finite"),
        ("seed", -1, "greater than or equal to 0"),
        ("start_dataset_id", "", "at least 1 character"),
        ("colour", "red", "not permitted"),
    ],
)
def test_invalid_sampling_settings_are_refused_with_field_and_bound(field, value, message):
    found = refusals(lambda: SampleParams.model_validate({field: value}))
    assert set(found) == {field}
    assert message in found[field]


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
    assert "needs start_dataset_id" in refusals(lambda: SampleParams(start_strength=0.5))["start_strength"]


def test_pictures_pass_evenly_from_one_to_another_and_one_alone_keeps_its_share_and_seed():
    both = {"start_dataset_id": "dataset_1", "end_dataset_id": "dataset_2"}
    resolved = SampleParams(**both, count=5, seed=7).resolved(TEXTURE, seed=1)
    assert resolved.end_shares == (0, 0.25, 0.5, 0.75, 1)
    assert (resolved.alone(3).count, resolved.alone(3).end_shares, resolved.alone(3).seed) == (1, (0.75,), 7)
    assert SampleParams(count=5, seed=7).resolved(TEXTURE, seed=1).alone(3).seed == 10
    assert SampleParams(**both, count=1).resolved(TEXTURE, seed=1).end_shares == (0.5,)
    few = refusals(lambda: SampleParams(**both, count=3, end_shares=(0, 1)).resolved(TEXTURE, seed=1))
    assert "must be 3, one for each picture, but are 2" in few["end_shares"]
    assert "needs start_dataset_id" in refusals(lambda: SampleParams(end_dataset_id="dataset_2"))["end_dataset_id"]
    assert "needs end_dataset_id" in refusals(lambda: SampleParams(end_shares=(0.5,)))["end_shares"]
    blend = [{"model_id": "model_1", "weight": 0.5}]
    assert "with blend" in refusals(lambda: SampleParams(**both, blend=blend))["end_dataset_id"]


def test_a_guide_is_for_textures_and_stays_below_the_strength_at_which_chains_diverge():
    resolved = SampleParams(guide_dataset_id="dataset_1").resolved(TEXTURE, seed=1)
    assert resolved.guide_strength == 0.05
    strong = SampleParams(guide_dataset_id="dataset_1", guide_strength=3.0, step_size=1.0)
    assert (
        "must be below 3 with a step_size of 1" in refusals(lambda: strong.resolved(TEXTURE, seed=1))["guide_strength"]
    )
    assert "needs guide_dataset_id" in refusals(lambda: SampleParams(guide_strength=0.5))["guide_strength"]
    guided = SampleParams(guide_dataset_id="dataset_1")
    assert "the model learned" in refusals(lambda: guided.resolved(OBJECT, seed=1))["guide_dataset_id"]


def test_pictures_of_a_canvas_are_held_to_their_layout_unless_something_else_says_where_they_are_light():
    def strength(learned=CANVAS, **given):
        return SampleParams(**given).resolved(learned, seed=1).layout_strength

    assert (strength(), strength(TEXTURE), strength(OBJECT)) == (1.0, 0.0, 0.0)
    assert (strength(layout_strength=0.5), strength(TEXTURE, layout_strength=0.5)) == (0.5, 0.5)
    assert strength(step_size=1.5 * CANVAS.reference_std) == pytest.approx((4 / 1.5**2 - 1) / 2)  # below what diverges
    blend = [{"model_id": "model_1", "weight": 0.5}]
    for other in ({"start_dataset_id": "dataset_1"}, {"guide_dataset_id": "dataset_1"}, {"blend": blend}):
        assert strength(**other) == 0.0
    strong = {"layout_strength": 1.0}
    assert "with blend" in refusals(lambda: SampleParams(blend=blend, **strong))["layout_strength"]
    assert "must be absent" in refusals(lambda: strength(OBJECT, **strong))["layout_strength"]
    both = {"guide_dataset_id": "dataset_1", "guide_strength": 1.0, "layout_strength": 2.0, "step_size": 1.0}
    assert "must be below 2 with a step_size of 1" in refusals(lambda: strength(TEXTURE, **both))["layout_strength"]


def test_settings_from_before_layouts_were_held_mean_pictures_that_are_not():
    before = SampleParams().resolved(CANVAS, seed=1).model_dump(exclude={"layout_strength"})
    assert SampleParams.model_validate(with_later_settings(before)).resolved(CANVAS, seed=1).layout_strength == 0.0
    assert with_later_settings({"layout_strength": 0.5})["layout_strength"] == 0.5


def test_a_blend_is_for_textures_and_of_so_many_pixels():
    masked, everywhere = {"model_id": "m1", "mask_dataset_id": "d1"}, {"model_id": "m2", "weight": 0.5}
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
