"""Refuses HTTP methods that no route can have."""

from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import CLOSE_CONNECTION, problem_response

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class KnownMethodsMiddleware:
    """Answer 405 to any method outside METHODS.

    It runs before the request counter: otherwise each invented method would become a label value of its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in METHODS:
            allowed = ", ".join(sorted(METHODS))
            response = problem_response(
                405, f"unknown method; allowed are {allowed}", headers={"Allow": allowed, **CLOSE_CONNECTION}
            )
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)
