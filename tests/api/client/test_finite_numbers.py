"""NaN and infinity are found in the body of a request, which JSON could not hold."""

import math

import pytest

from api.client.errors import Invalid
from api.client.finite_numbers import check_finite, is_finite


def test_each_number_that_is_not_finite_is_named_as_the_service_names_it() -> None:
    blend = [{"weight": 1.0}, {"weight": math.inf}]
    body = {"kind": "sample", "params": {"count": 2, "blend": blend, "end_shares": (0.5, math.nan)}, "limit": -math.inf}
    with pytest.raises(Invalid) as refused:
        check_finite(body)
    assert [one.field for one in refused.value.errors] == ["params.blend[1].weight", "params.end_shares[1]", "limit"]
    assert refused.value.status == 422
    assert str(refused.value).startswith("params.blend[1].weight: must be a finite number; ")


@pytest.mark.parametrize("body", [None, {}, {"a": [1e308, 0, None, "nan", True]}])
def test_any_other_body_is_let_through(body: object) -> None:
    check_finite(body)
    assert is_finite(body)


def test_a_single_number_may_be_asked_about() -> None:
    assert not is_finite(math.nan)
    assert not is_finite([[1.0, [math.inf]]])
