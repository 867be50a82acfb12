"""Logs one line per request and adds the request's id to every line logged while it is handled."""

import time

import structlog
from asgi_correlation_id import correlation_id
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.public_urls import route_path

log = structlog.get_logger()


PROBES = frozenset({"/healthz", "/readyz"})


class AccessLogMiddleware:
    """Log client, key, method, path, status and duration of each request, and successful probes at the level DEBUG.

    The query is left out: it may hold private data. The client is the one that X-Forwarded-For names if it comes from a
    proxy of FORWARDED_ALLOW_IPS.
    """

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
            path = route_path(scope)
            is_quiet = path in PROBES and status < 400
            about = {"client": _client(scope), **_key(scope)}
            write = log.debug if is_quiet else log.info
            write("request", method=scope["method"], path=path, status=status, seconds=seconds, **about)


def _client(scope: Scope) -> str | None:
    """Return the client's address; one of IPv4 that came in by an IPv6 socket is written as such."""
    return scope["client"][0].removeprefix("::ffff:") if scope.get("client") else None


def _key(scope: Scope) -> dict[str, str]:
    """Return the id of the key that AuthMiddleware found."""
    key = scope.get("state", {}).get("key")
    return {} if key is None else {"key_id": key.id}
