"""Answers and failures of httpx as results and errors of the client."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
from httpx_sse import ServerSentEvent, SSEError
from pydantic import BaseModel, ValidationError

from api.client.data import Event
from api.client.errors import ClientError, Fault, NoAnswer, UnexpectedAnswer, Unreachable, error_for
from api.client.sans_io import Request

Answer = TypeVar("Answer", bound=BaseModel)
Item = TypeVar("Item")

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NOW_UNAVAILABLE = (502, 503, 504)


@contextmanager
def failures_as_errors(request: Request, base_url: httpx.URL, *, reached: bool) -> Iterator[None]:
    """Turn an exception of httpx into one of ours. reached: the service has answered before, so it may do so again."""
    try:
        yield
    except SSEError as error:  # an httpx.HTTPError too, but asking again would not help
        raise UnexpectedAnswer(f"what {base_url} answers to {request.method} {request.url} is not a stream") from error
    except httpx.HTTPError as error:
        sent = not isinstance(error, _NOT_SENT)
        reason = str(error) or type(error).__name__
        raised: ClientError = (
            NoAnswer(f"{base_url} did not answer {request.method} {request.url}: {reason}")
            if sent
            else Unreachable(f"no service is reached at {base_url}: {reason}")
        )
        raised.repeatable = request.idempotent if sent else reached
        raise raised from error


def check(response: httpx.Response, request: Request) -> None:
    """Raise the error that the response is, if it is one; UnexpectedAnswer if it is of another program.

    Its body must have been read.
    """
    if response.is_success:
        return
    if response.is_redirect:
        raise UnexpectedAnswer(f"{response.url} is elsewhere: use the URL of {response.headers.get('location')}")
    body = _problem(response)
    with _unexpected(response):
        faults = [Fault(one["field"], one["message"], one.get("file")) for one in body.get("errors", [])]
    error = error_for(response.status_code)(response.status_code, str(body["detail"]), faults)
    error.retry_after = _retry_after(response)
    error.repeatable = response.status_code == httpx.codes.TOO_MANY_REQUESTS or (
        response.status_code in _NOW_UNAVAILABLE and request.idempotent
    )
    raise error


def parse(kind: type[Answer], response: httpx.Response) -> Answer:
    """Return the body of a successful response. Raises UnexpectedAnswer."""
    with _unexpected(response):
        return kind.model_validate_json(response.content)


def parse_page(show: Callable[[bytes], Item], response: httpx.Response) -> tuple[list[Item], str | None]:
    """Return the items of a page, and the id after which the next page begins. Raises UnexpectedAnswer.

    show: returns an item from its JSON.
    """
    with _unexpected(response):
        body = response.json()
        return [show(json.dumps(item).encode()) for item in body["data"]], body.get("next")


def parse_event(received: ServerSentEvent) -> Event:
    """Return a server-sent event as ours. Raises UnexpectedAnswer."""
    try:
        return Event(id=received.id, name=received.event, data=received.json())
    except ValueError as error:
        raise UnexpectedAnswer("an event is not of genconvnet, or of another release") from error


@contextmanager
def _unexpected(response: httpx.Response) -> Iterator[None]:
    try:
        yield
    except (ValidationError, ValueError, TypeError, KeyError) as error:
        raise UnexpectedAnswer(f"what {response.url} answers is not of genconvnet, or of another release") from error


def _problem(response: httpx.Response) -> dict[str, Any]:
    """Return the body of an error; a proxy's, say, has no `detail` of ours, and the status' name stands for it."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("detail"), str):
        return body
    return {"detail": f"{response.status_code} {response.reason_phrase} from {response.url}"}


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that Retry-After names, in either of its forms (RFC 9110)."""
    given = response.headers.get("retry-after")
    if given is None:
        return None
    if given.strip().isdecimal():
        return float(given)
    try:
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
