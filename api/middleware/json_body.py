"""Lets clients leave out the Content-Type of JSON."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

GUESSES = frozenset({"", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream"})
"""What clients say if they are not told what they send, such as curl with -d."""


class JsonBodyMiddleware:
    """Take the body as JSON if its Content-Type is missing or one of GUESSES, for operations that take nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get("content-type", "")
        if given.partition(";")[0].strip().lower() in GUESSES:
            scope = {**scope, "headers": list(scope["headers"])}
            MutableHeaders(scope=scope)["content-type"] = "application/json"
        await self._app(scope, receive, send)
