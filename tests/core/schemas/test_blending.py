from learned_settings import refusals

from core.schemas.blending import MAX_SOFTNESS, MIN_SOFTNESS, BlendedModel


def test_softness_is_of_a_mask_and_can_be_computed():
    for softness in (None, MIN_SOFTNESS, MAX_SOFTNESS):
        assert BlendedModel(model_id="m", mask_dataset_id="d", softness=softness).softness == softness
    for softness in (1e-200, MIN_SOFTNESS / 2, 1.1 * MAX_SOFTNESS):
        assert set(refusals(lambda: BlendedModel(model_id="m", mask_dataset_id="d", softness=softness))) == {"softness"}  # noqa: B023
    found = refusals(lambda: BlendedModel(model_id="m", weight=0.5, softness=0.25))
    assert found == {"softness": "Value error, needs mask_dataset_id, the mask whose border is softened"}
