import pytest
from learned_settings import refusals

from core.schemas.reconstruction import ReconstructParams


def test_one_pass_takes_one_step_and_the_attractor_as_many_as_set():
    assert ReconstructParams().passes == 1
    assert ReconstructParams(mode="attractor", steps=7).passes == 7


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "twice"),
        ("steps", 0),
        ("steps", 100_001),
        ("seed", 1),
        ("frames", 2),  # of mode one_pass
        ("frames", 33),
    ],
)
def test_invalid_settings_are_refused_with_the_field(field, value):
    assert set(refusals(lambda: ReconstructParams.model_validate({field: value}))) == {field}
