"""The addresses under which clients see the service, also if a reverse proxy publishes it below another path.

The prefix of a request is the proxy's `X-Forwarded-Prefix`, or else GENCONVNET_ROOT_PATH. The proxy may remove it from
the path or leave it there.
"""

import re
from contextvars import ContextVar

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

OWN_FOLDERS = frozenset({"v1", "web", "docs"})  # a path that begins like this is not taken for one below a prefix
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[\w.~-]+)*/?", re.ASCII)
_prefix: ContextVar[str] = ContextVar("public_prefix", default="")


class PublicPrefixMiddleware:
    """Sets `root_path`, and `path` to the whole public path, as ASGI defines both; then `public_url` knows the prefix.

    root_path: the prefix of requests without the header X-Forwarded-Prefix.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app, self._root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            prefix = _forwarded_prefix(Headers(scope=scope)) or self._root_path
            scope = {**scope, "root_path": prefix, "path": _public_path(scope["path"], prefix)}
            _prefix.set(prefix)  # each request runs in a context of its own
        await self._app(scope, receive, send)


def public_url(path: str) -> str:
    """Return the path by which the client of the current request reaches `path`."""
    return _prefix.get() + path


def route_path(scope: Scope) -> str:
    """Return the path of a request below the prefix, as the routes name it."""
    path: str = scope["path"]
    return path[len(scope.get("root_path", "")) :]


def parse_prefix(text: str) -> str:
    """Return the prefix without a slash at its end. Raises ValueError if it is not a path such as /pictures."""
    if not _PREFIX.fullmatch(text):
        raise ValueError("must be a path such as /pictures, of letters, digits and . _ ~ -")
    return text.rstrip("/")


def _forwarded_prefix(headers: Headers) -> str:
    """Return the prefixes of all proxies, the outermost first. A header that is not a path is ignored."""
    given = ",".join(headers.getlist("x-forwarded-prefix"))
    try:
        return "".join(parse_prefix(part.strip()) for part in given.split(","))
    except ValueError:
        return ""


def _public_path(path: str, prefix: str) -> str:
    """Return the path with the prefix. A proxy may have left it there, unless it is the name of one of our folders."""
    if path == prefix:
        return f"{path}/"
    kept = path.startswith(f"{prefix}/") and prefix.split("/")[1:2] not in ([folder] for folder in OWN_FOLDERS)
    return path if kept else prefix + path
