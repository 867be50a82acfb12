"""The fast engine equals the reference on nets and pictures that Hypothesis chooses."""

import torch
from hypothesis import given, settings
from nets import Case, random_cases

from core.engine import FastEngine, ReferenceEngine

EXACT = {"rtol": 1e-9, "atol": 1e-9}


@settings(deadline=None, max_examples=60)
@given(case=random_cases())
def test_basis_and_gradient_are_those_of_the_reference(case: Case) -> None:
    fast, reference = FastEngine(), ReferenceEngine()
    torch.testing.assert_close(
        fast.basis(case.net, case.images, case.boundary), reference.basis(case.net, case.images, case.boundary), **EXACT
    )
    found, expected = (engine.gradient(case.net, case.images, case.boundary) for engine in (fast, reference))
    assert abs(found.score - expected.score) <= 1e-9 * max(1.0, abs(expected.score))
    torch.testing.assert_close(found.parameters, expected.parameters, **EXACT)
    assert found.active_share == expected.active_share
