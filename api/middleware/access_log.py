"""Logs one line per request and adds the request's id to every line logged while it is handled."""

import time

import structlog
from asgi_correlation_id import correlation_id
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.public_urls import route_path

log = structlog.get_logger()


class AccessLogMiddleware:
    """Log method, path, status and duration of each request. The query is left out: it may hold private data."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Each request runs in a task of its own, so the binding ends with the request.
        structlog.contextvars.bind_contextvars(request_id=correlation_id.get())
        started_at = time.monotonic()
        status = 500  # logged if an exception leaves before the response has started

        async def send_and_record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_record_status)
        finally:
            seconds = round(time.monotonic() - started_at, 4)
            log.info("request", method=scope["method"], path=route_path(scope), status=status, seconds=seconds)
