"""What a client raises: the class of an error by its status, and what is at fault."""

import pytest

from api.client import errors
from api.client.errors import ErrorAnswer, Fault, error_for


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ((400, 413, 415, 422), errors.Invalid),
        ((401, 403), errors.NotAllowed),
        ((404,), errors.NotFound),
        ((409,), errors.Conflict),
        ((429,), errors.LimitReached),
        ((500, 503, 599), errors.ServiceFailed),
        ((405, 499), ErrorAnswer),
    ],
)
def test_the_status_of_an_answer_decides_the_class_of_the_error(
    statuses: tuple[int, ...], kind: type[ErrorAnswer]
) -> None:
    assert {error_for(status) for status in statuses} == {kind}


def test_an_error_names_its_first_field_and_its_first_file() -> None:
    faults = [
        Fault("params.count", "too large"),
        Fault("images[0]", "broken", "a.png"),
        Fault("images[1]", "no", "b.png"),
    ]
    error = ErrorAnswer(422, "two are wrong", faults)
    assert (error.field, error.file, len(error.errors)) == ("params.count", "a.png", 3)
    assert (ErrorAnswer(404, "none").field, ErrorAnswer(404, "none").file) == (None, None)
