"""Bodies that do not come: whoever sends too slowly is cut off, so that nobody can hold the service's connections."""

import asyncio
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import CLOSE_CONNECTION


class SlowClientMiddleware:
    """ASGI middleware: 408 for a body of which nothing comes for `idle_seconds`, or too little in all.

    Only time that was spent waiting for the client counts; `grace_seconds` of it pass before the rate is looked at.
    An answer that does not await the body's end closes the connection: else what is left of it would be received, and
    a next request taken for a part of it.
    """

    def __init__(self, app: ASGIApp, idle_seconds: float, grace_seconds: float, bytes_per_second: float) -> None:
        self._app, self._idle_seconds = app, idle_seconds
        self._grace_seconds, self._bytes_per_second = grace_seconds, bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._idle_seconds, self._grace_seconds, self._bytes_per_second)
        body.whole = not _has_body(Headers(scope=scope))

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                body.answered = True
                if not body.whole:
                    MutableHeaders(scope=message).update(CLOSE_CONNECTION)
            await send(message)

        await self._app(scope, body.receive, told)


class _Body:
    """What has come of a body, and how long it was waited for."""

    def __init__(self, receive: Receive, idle_seconds: float, grace_seconds: float, bytes_per_second: float) -> None:
        self._receive, self._idle_seconds = receive, idle_seconds
        self._grace_seconds, self._bytes_per_second = grace_seconds, bytes_per_second
        self._bytes, self._waited_seconds = 0, 0.0
        self.whole = self.answered = False

    async def receive(self) -> Message:
        if self.whole or self.answered:  # what is waited for now is the client's going
            return await self._receive()
        since = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), self._idle_seconds)
        except TimeoutError:
            raise _too_slow(f"nothing of the body came for {self._idle_seconds:g} s") from None
        self._waited_seconds += time.monotonic() - since
        self._bytes += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        late = self._waited_seconds > self._grace_seconds
        if not self.whole and late and self._bytes < self._bytes_per_second * self._waited_seconds:
            raise _too_slow(f"the body comes at less than {self._bytes_per_second:g} bytes a second")
        return message


def _too_slow(detail: str) -> HTTPException:
    return HTTPException(408, detail)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
