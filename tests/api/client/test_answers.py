"""Answers and failures of httpx as results and errors of the client."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, SSEError

from api.client import errors
from api.client.answers import check, failures_as_errors, parse, parse_event, parse_page
from api.client.data import Skipped
from api.client.errors import ErrorAnswer, NoAnswer, UnexpectedAnswer, Unreachable
from api.client.sans_io import Request

READ, WRITE = Request("GET", "v1/jobs"), Request("DELETE", "v1/jobs/job_1", idempotent=False)
BASE = httpx.URL("http://x")


def _answer(status: int, **content: Any) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "http://x/v1"), **content)


def _error(answer: httpx.Response, request: Request = READ) -> ErrorAnswer:
    with pytest.raises(ErrorAnswer) as raised:
        check(answer, request)
    return raised.value


@pytest.mark.parametrize("errors", [None, ["wrong"], [{"loc": ["body"], "msg": "wrong"}]])
def test_errors_in_the_form_of_another_program_are_not_taken_for_the_services(errors: Any) -> None:
    with pytest.raises(UnexpectedAnswer):
        check(_answer(422, json={"detail": "no", "errors": errors}), READ)


@pytest.mark.parametrize(
    ("failure", "reached", "kind", "read_again", "write_again"),
    [
        (httpx.ReadTimeout("slow"), True, NoAnswer, True, False),
        (httpx.RemoteProtocolError("cut"), False, NoAnswer, True, False),
        (httpx.ConnectError("refused"), False, Unreachable, False, False),
        (httpx.ConnectError("refused"), True, Unreachable, True, True),
        (httpx.PoolTimeout(""), True, Unreachable, True, True),
    ],
)
def test_a_request_that_may_have_been_done_is_sent_again_only_if_that_is_harmless(
    failure: Exception, reached: bool, kind: type[Exception], read_again: bool, write_again: bool
) -> None:
    for request, again in ((READ, read_again), (WRITE, write_again)):
        with pytest.raises(Unreachable) as raised, failures_as_errors(request, BASE, reached=reached):
            raise failure
        assert (type(raised.value), raised.value.repeatable) == (kind, again)
        assert str(failure) or "PoolTimeout" in str(raised.value), "a failure without a text is named"


def test_what_is_no_stream_is_not_asked_for_again() -> None:
    with pytest.raises(UnexpectedAnswer) as raised, failures_as_errors(READ, BASE, reached=True):
        raise SSEError("text/html")
    assert not raised.value.repeatable


def test_an_error_says_its_detail_and_what_is_at_fault() -> None:
    fault = {"field": "images[1]", "message": "broken", "file": "a.png"}
    error = _error(_answer(415, json={"detail": "a.png: broken", "errors": [fault]}))
    assert (str(error), error.field, error.file) == ("a.png: broken", "images[1]", "a.png")
    assert type(error) is errors.Invalid
    assert not error.repeatable


@pytest.mark.parametrize("content", [{"text": "<html>"}, {"json": ["detail"]}, {"json": {"detail": 3}}])
def test_the_error_of_a_proxy_is_named_by_its_status(content: dict[str, Any]) -> None:
    assert str(_error(_answer(502, **content))) == "502 Bad Gateway from http://x/v1"


@pytest.mark.parametrize(
    ("status", "read_again", "write_again"), [(429, True, True), (503, True, False), (500, False, False)]
)
def test_a_service_that_is_busy_may_be_asked_again(status: int, read_again: bool, write_again: bool) -> None:
    assert _error(_answer(status), READ).repeatable == read_again
    assert _error(_answer(status), WRITE).repeatable == write_again


def test_retry_after_is_read_in_both_of_its_forms() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    earlier = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    found = [_error(_answer(503, headers={"Retry-After": text})).retry_after for text in ("7", later, earlier, "soon")]
    assert (found[0], found[2], found[3]) == (7.0, 0.0, None)
    assert found[1] == pytest.approx(3600, abs=600)
    assert _error(_answer(503)).retry_after is None


def test_a_redirect_names_the_url_to_use() -> None:
    with pytest.raises(UnexpectedAnswer, match="use the URL of https://y/"):
        check(_answer(308, headers={"Location": "https://y/"}), READ)
    check(_answer(204), READ)


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"file": 3}'])
def test_an_answer_of_another_program_is_not_parsed(content: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        parse(Skipped, _answer(200, content=content))
    with pytest.raises(UnexpectedAnswer):
        parse_page(Skipped.model_validate_json, _answer(200, content=content))


def test_a_page_names_the_next() -> None:
    entry = {"file": "a", "reason": "b"}
    for more in ({}, {"next": "job_2"}):
        page = parse_page(Skipped.model_validate_json, _answer(200, json={"data": [entry], **more}))
        assert page == ([Skipped(file="a", reason="b")], more.get("next"))


def test_an_event_has_its_data_from_json() -> None:
    event = parse_event(ServerSentEvent("done", '{"status": "failed"}', "1-0"))
    assert (event.id, event.name, event.status) == ("1-0", "done", "failed")
    for wrong in ("no", "3"):
        with pytest.raises(UnexpectedAnswer):
            parse_event(ServerSentEvent("done", wrong, "1-0"))
