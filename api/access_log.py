"""One line a request, and the request's id on every line that is logged for it."""

import time

import structlog
from asgi_correlation_id import correlation_id
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()


class AccessLog:
    """ASGI middleware. The path is logged and the query is not: it may hold what is nobody's business."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Every request is a task with a context of its own, which ends with it.
        structlog.contextvars.bind_contextvars(request_id=correlation_id.get())
        began_at = time.monotonic()
        status = 500  # where an error leaves before the answer has begun

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            seconds = round(time.monotonic() - began_at, 4)
            log.info("request", method=scope["method"], path=scope["path"], status=status, seconds=seconds)
