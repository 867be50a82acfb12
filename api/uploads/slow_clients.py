"""Ends requests whose body arrives too slowly, so that slow clients cannot use up the service's connections."""

import asyncio
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import CLOSE_CONNECTION


class SlowClientMiddleware:
    """Answer 408 if no byte of a body arrives for `idle_seconds`, or fewer than `bytes_per_second` on average.

    Only time spent waiting for the client counts. The average is checked after `grace_seconds` of it.

    A response sent before the whole body has arrived closes the connection. Otherwise the server would go on to receive
    the body, and would take the rest of it for the next request.
    """

    def __init__(self, app: ASGIApp, idle_seconds: float, grace_seconds: float, bytes_per_second: float) -> None:
        self._app, self._idle_seconds = app, idle_seconds
        self._grace_seconds, self._bytes_per_second = grace_seconds, bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _TimedBody(receive, self._idle_seconds, self._grace_seconds, self._bytes_per_second)
        body.complete = not _has_body(Headers(scope=scope))

        async def send_and_close_if_incomplete(message: Message) -> None:
            if message["type"] == "http.response.start":
                body.response_started = True
                if not body.complete:
                    MutableHeaders(scope=message).update(CLOSE_CONNECTION)
            await send(message)

        await self._app(scope, body.receive, send_and_close_if_incomplete)


class _TimedBody:
    """Receives a request's body and measures how long the client keeps us waiting for it."""

    def __init__(self, receive: Receive, idle_seconds: float, grace_seconds: float, bytes_per_second: float) -> None:
        self._receive, self._idle_seconds = receive, idle_seconds
        self._grace_seconds, self._bytes_per_second = grace_seconds, bytes_per_second
        self._bytes, self._waited_seconds = 0, 0.0
        self.complete = self.response_started = False

    async def receive(self) -> Message:
        if self.complete or self.response_started:  # the next message is the client's disconnect, which has no timeout
            return await self._receive()
        started_at = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), self._idle_seconds)
        except TimeoutError:
            raise HTTPException(408, f"no byte of the body arrived for {self._idle_seconds:g} s") from None
        self._waited_seconds += time.monotonic() - started_at
        self._bytes += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        if not self.complete and self._is_too_slow():
            raise HTTPException(408, f"the body arrives at less than {self._bytes_per_second:g} bytes per second")
        return message

    def _is_too_slow(self) -> bool:
        rate_counts = self._waited_seconds > self._grace_seconds
        return rate_counts and self._bytes < self._bytes_per_second * self._waited_seconds


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
