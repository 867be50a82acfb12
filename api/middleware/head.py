"""Answers HEAD wherever GET is."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _HeadersSent(Exception):
    """The response is complete: its headers have been sent."""


class HeadMiddleware:
    """Handle HEAD as GET, and stop when the headers have been sent.

    So a HEAD has the status and the headers of the GET, and reads no long file and waits for no event.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                raise _HeadersSent

        try:
            await self._app({**scope, "method": "GET"}, receive, send_headers)
        except* _HeadersSent:  # alone, or in the groups of the tasks that send streams
            pass
