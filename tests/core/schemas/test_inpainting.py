import pytest
from learned_settings import OBJECT, TEXTURE, refusals

from core.schemas.inpainting import InpaintParams, ResolvedInpaintParams


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
    ("field", "value"),
    [
        ("count", 0),
        ("count", 65),
        ("steps", 0),
        ("step_size", 0),
        ("step_size", float("nan")),
        ("width", 96),
    ],
)
def test_invalid_settings_are_refused_with_the_field(field, value):
    assert set(refusals(lambda: InpaintParams.model_validate({field: value}))) == {field}
