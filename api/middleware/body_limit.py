"""Limits the size of request bodies."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import CLOSE_CONNECTION, problem_response


class BodyLimitMiddleware:
    """Answer 413 if a body is larger than `limit` bytes, by its Content-Length or by the bytes received.

    The connection is closed either way (in the second case by SlowClientMiddleware). Otherwise the server would go on
    to receive the rest of a rejected body. See api.uploads.protocol for how the connection is closed.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        detail = f"the request body is larger than {self._limit} bytes"
        content_length = dict(scope["headers"]).get(b"content-length", b"0")
        if content_length.isdigit() and int(content_length) > self._limit:
            await problem_response(413, detail, headers=CLOSE_CONNECTION)(scope, receive, send)
            return
        received_bytes = 0

        async def receive_within_limit() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._limit:
                raise HTTPException(413, detail)
            return message

        await self._app(scope, receive_within_limit, send)
