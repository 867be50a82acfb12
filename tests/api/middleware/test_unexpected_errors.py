"""Errors that nothing handles are answered with 500, as long as no answer has begun."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from api.middleware.unexpected_errors import UnexpectedErrorMiddleware

START = {"type": "http.response.start", "status": 200, "headers": []}


def _sent(*messages: dict[str, Any], kind: str = "http") -> list[Any]:
    """Return what is sent of an application that sends the messages and then breaks."""
    sent: list[Any] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        raise RuntimeError("a bug")

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "path": "/v1/jobs", "method": "GET", "headers": []}
    asyncio.run(UnexpectedErrorMiddleware(app)(scope, receive, send))
    return sent


def test_an_error_before_the_answer_is_a_problem_and_in_the_log() -> None:
    with capture_logs() as logs:
        start, body = _sent()
    assert start["status"] == 500
    assert (b"content-type", b"application/problem+json") in start["headers"]
    assert "a bug" not in json.loads(body["body"])["detail"]
    assert [(line["event"], line["path"], str(line["exc_info"])) for line in logs] == [
        ("request_broke", "/v1/jobs", "a bug")
    ]


def test_an_error_after_the_beginning_of_an_answer_is_left_to_the_server() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        _sent(START)


def test_what_is_no_request_is_passed_on() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        _sent(kind="lifespan")
