import pytest
from learned_settings import refusals

from core.schemas.classification import ClassifyParams


def test_classification_keeps_the_models_order_and_counts_its_steps():
    resolved = ClassifyParams(temperatures=10, steps=3).resolved(("b", "a"), seed=4)
    assert (resolved.model_ids, resolved.seed, resolved.all_steps) == (("b", "a"), 4, 60)
    assert ClassifyParams(seed=0).resolved(("b", "a"), seed=4).seed == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chains", 1),
        ("temperatures", 0),
        ("steps", 0),
        ("seed", 2**63),
    ],
)
def test_invalid_settings_are_refused_with_the_field(field, value):
    assert set(refusals(lambda: ClassifyParams.model_validate({field: value}))) == {field}
