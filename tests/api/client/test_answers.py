"""Answers and failures of httpx as results and errors of the client."""

from typing import Any

import httpx
import pytest

from api.client import UnexpectedAnswer
from api.client.answers import check
from api.client.sans_io import Request


@pytest.mark.parametrize("errors", [None, ["wrong"], [{"loc": ["body"], "msg": "wrong"}]])
def test_errors_in_the_form_of_another_program_are_not_taken_for_the_services(errors: Any) -> None:
    answer = httpx.Response(422, json={"detail": "no", "errors": errors}, request=httpx.Request("GET", "http://x"))
    with pytest.raises(UnexpectedAnswer):
        check(answer, Request("GET", "v1/jobs"))
