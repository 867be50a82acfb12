"""Refuses requests whose end is not clear, by which one request could be smuggled past a proxy inside another."""

from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import CLOSE_CONNECTION, problem_response

AMBIGUOUS = {b"content-length", b"transfer-encoding"}


class FramingMiddleware:
    """Answer 400 and close the connection if a request has both a Content-Length and a Transfer-Encoding.

    RFC 9112, section 6.1: a proxy in front may have gone by the other one. What follows on the connection is discarded.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and {b"content-length", b"transfer-encoding"} <= {
            name for name, _ in scope["headers"]
        }:
            detail = "a request must not have both a Content-Length and a Transfer-Encoding header"
            await problem_response(400, detail, headers=CLOSE_CONNECTION)(scope, receive, send)
            return
        await self._app(scope, receive, send)
