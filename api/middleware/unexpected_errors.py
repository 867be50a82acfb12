"""Answers 500 for errors that nothing else handles."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import unexpected_response


class UnexpectedErrorMiddleware:
    """Answer 500 and log the error, unless the response has begun; then the server cuts it off.

    Starlette would do so outside of all middlewares, so that the response would lack their headers: without those of
    CORS, a page of an allowed origin could not even read that it is a 500.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def send_and_notice(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_notice)
        except Exception as error:
            if has_begun:
                raise
            await unexpected_response(scope["path"], error)(scope, receive, send)
