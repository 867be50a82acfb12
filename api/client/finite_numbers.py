"""Find NaN and infinity, which JSON cannot hold, in the body of a request."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from api.client.errors import Fault, Invalid

MUST_BE_FINITE = "must be a finite number"


def check_finite(body: Any) -> None:
    """Raise Invalid, naming the fields, if a number in the body of a request is NaN or infinite."""
    faults = [Fault(field, MUST_BE_FINITE) for field in _not_finite(body, "")]
    if faults:
        raise Invalid(422, "; ".join(f"{one.field}: {one.message}" for one in faults), faults)


def is_finite(value: Any) -> bool:
    """Return True if all numbers in the value are finite."""
    return next(_not_finite(value, ""), None) is None


def _not_finite(value: Any, field: str) -> Iterator[str]:
    """Yield the fields as the service names them, such as `params.blend[0].weight`."""
    if isinstance(value, float) and not math.isfinite(value):
        yield field
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _not_finite(inner, f"{field}.{name}" if field else str(name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _not_finite(inner, f"{field}[{index}]")
