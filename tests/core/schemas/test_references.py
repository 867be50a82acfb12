from learned_settings import TEXTURE

from core.schemas.references import datasets_of, models_of, with_ids, without_ids
from core.schemas.sampling import SampleParams


def stored(**settings):
    """Return a sampling job's parameters as they are stored."""
    return SampleParams.model_validate(settings).resolved(TEXTURE, seed=1).model_dump(mode="json")


def test_the_datasets_of_a_job_are_found_by_parameter():
    assert datasets_of({"iterations": 3}) == {}
    assert datasets_of(stored(guide_dataset_id="dataset_1")) == {"guide_dataset_id": "dataset_1"}
    both = {"start_dataset_id": "dataset_1", "end_dataset_id": "dataset_2"}
    assert datasets_of(stored(**both)) == both


def test_the_models_and_masks_of_a_blend_are_found_taken_out_and_put_back():
    masked, everywhere = {"model_id": "m1", "mask_dataset_id": "d1"}, {"model_id": "m2", "weight": 0.5}
    params = stored(blend=[masked, everywhere])
    assert datasets_of(params) == {"blend[0].mask_dataset_id": "d1"}
    assert models_of(params) == {"blend[0].model_id": "m1", "blend[1].model_id": "m2"}
    left = without_ids(params)
    of_second = {"mask_dataset_id": None, "weight": 0.5, "softness": None}
    assert left["blend"] == [{"weight": None, "softness": None}, of_second]
    assert with_ids(left, {**datasets_of(params), **models_of(params)}) == params
