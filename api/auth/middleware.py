"""Authenticates every request, or refuses it, before any of its body is read."""

import time

import structlog
from asgi_correlation_id import correlation_id
from fastapi.concurrency import run_in_threadpool
from redis import RedisError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.app_state import AppState
from api.auth import credentials
from api.auth.exposure import keys_required
from api.auth.origin import OriginPolicy
from api.auth.rate_limiter import RateLimiter
from api.errors import CLOSE_CONNECTION, Problem, limit_response, problem_response, unavailable_response
from api.http.public_urls import route_path
from api.middleware.body_limit import BodyLimitMiddleware
from api.middleware.json_body import JsonBodyMiddleware
from api.settings import ApiSettings
from core.storage import keys, quotas
from core.storage.access import Access
from core.storage.database import Database
from core.storage.errors import LimitReached
from core.storage.failures import DATABASE_UNAVAILABLE
from core.storage.tables import ApiKey

PROBES = frozenset({"/healthz", "/readyz"})
PAGES = frozenset(
    {
        *PROBES,
        "/",
        "/openapi.json",
        "/docs",
        "/docs/swagger-ui-bundle.js",
        "/docs/swagger-ui.css",
        "/redoc",
        "/docs/redoc.standalone.js",
    }
)
OPEN = frozenset(
    {
        *((method, path) for method in ("GET", "HEAD") for path in PAGES),
        ("POST", "/v1/session"),
        ("DELETE", "/v1/session"),
    }
)
"""The operations that never need a key, besides GET of the page's files."""
PAGE_FILES = "/web/"
UPLOADS = frozenset({("POST", "/v1/datasets"), ("POST", "/v1/models"), ("POST", "/v1/replays")})
METRICS = "/metrics"
ANONYMOUS_BODY_BYTES = 4096
JSON_BODY_BYTES = 1 << 20  # JSON is read into memory and parsed in the event loop that serves all requests
RECHECK_SECONDS = 2.0

log = structlog.get_logger()


class AuthMiddleware:
    """Sets `state.access` (core.storage.access.Access) and `state.key` (the key's row or None), or refuses the request.

    It also limits the bodies: to JSON_BODY_BYTES except for uploads, and to ANONYMOUS_BODY_BYTES for clients without a
    key while keys are required. Uploads wait for a slot of the UploadLimiter.
    """

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app, self._settings = app, settings
        self._anonymous_app = JsonBodyMiddleware(BodyLimitMiddleware(app, ANONYMOUS_BODY_BYTES))
        self._json_app = JsonBodyMiddleware(BodyLimitMiddleware(app, JSON_BODY_BYTES))
        self._keys_required = keys_required(settings)
        self._origins = OriginPolicy(settings)
        self._rate_limiter = RateLimiter(settings.broker_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        database: Database = scope["app"].state.app_state.database
        refusal = await self._authenticate(scope, database)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        key: ApiKey | None = scope["state"]["key"]
        if key is None:
            anonymous = not scope["state"]["access"].sees_all
            await (self._anonymous_app if anonymous else self._run)(scope, receive, send)
            return
        with structlog.contextvars.bound_contextvars(key_id=key.id):
            await self._run(scope, receive, _RevocableStream(send, database, key.id))

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application on an authenticated request."""
        if (scope["method"], route_path(scope)) not in UPLOADS:
            await self._json_app(scope, receive, send)
            return
        app_state: AppState = scope["app"].state.app_state
        key: ApiKey | None = scope["state"]["key"]
        try:
            async with app_state.upload_limiter.slot(key.id if key else None):
                await self._app(scope, receive, send)
        except Problem as error:
            await _refusal(error)(scope, receive, send)

    async def _authenticate(self, scope: Scope, database: Database) -> Response | None:
        """Set the request's state. Return a response if the request is refused, else None."""
        try:
            if _is_probe(scope):  # without a thread, so that it works while all threads wait for the database
                self._check(scope, database)
            else:
                await run_in_threadpool(self._check, scope, database)
        except (Problem, LimitReached, *DATABASE_UNAVAILABLE, RedisError) as error:
            return _refusal(error)
        return None

    def _check(self, scope: Scope, database: Database) -> None:
        """Set the request's state. Raises Problem or LimitReached if the request is refused."""
        headers, operation = Headers(scope=scope), (scope["method"], route_path(scope))
        offered = credentials.find(headers)
        self._origins.check_write(scope["method"], headers, by_cookie=offered is not None and offered.by_cookie)
        state = scope.setdefault("state", {})
        state["key"], state["access"] = None, credentials.anonymous_access(correlation_id.get())
        if _is_probe(scope):
            return
        row = keys.find(database, offered.key) if offered else None
        if row is not None:
            state["key"], state["access"] = row, credentials.access_of(row, self._settings, correlation_id.get())
            self._check_limits(operation, row, database.scoped_to(state["access"]))
        elif self._keys_required or keys.any_unrevoked(database):
            if not _is_open(operation):
                raise unauthorized(key_sent=offered is not None)
        else:
            self._origins.check_host(headers)
            if offered is not None and not offered.by_cookie and not _is_open(operation):
                raise unauthorized(key_sent=True)
            state["access"] = Access(request_id=correlation_id.get())

    def _check_limits(self, operation: tuple[str, str], row: ApiKey, database: Database) -> None:
        if operation[1] == METRICS and not row.admin:
            raise Problem(403, "the metrics cover all users: only a key created with --admin may read them")
        if (per_minute := credentials.requests_per_minute(row, self._settings)) is not None:
            self._rate_limiter.check(row.id, per_minute)
        if operation in UPLOADS:
            quotas.check_storage_before_upload(database, 1)


def unauthorized(*, key_sent: bool) -> Problem:
    """Return the 401 problem for a request without a valid key."""
    detail = "unknown, revoked or expired key" if key_sent else "a key is required: send `Authorization: Bearer KEY`"
    return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})


def _refusal(error: Exception) -> Response:
    if isinstance(error, Problem):
        response = problem_response(error.status, error.detail, error.errors, error.headers)
    elif isinstance(error, LimitReached):
        response = limit_response(error)
    else:
        response = unavailable_response(error)
    response.headers.update(CLOSE_CONNECTION)  # otherwise the server would go on to receive the body
    return response


def _is_open(operation: tuple[str, str]) -> bool:
    """Return True if the operation (method, path) never needs a key."""
    method, path = operation
    return operation in OPEN or (method in ("GET", "HEAD") and path.startswith(PAGE_FILES))


def _is_probe(scope: Scope) -> bool:
    return route_path(scope) in PROBES and (scope["method"], route_path(scope)) in OPEN


class _RevocableStream:
    """A `send` that ends an event stream if the key that opened it is revoked or expires.

    The key is checked when a message is sent, so within the 15 seconds between two pings.
    """

    def __init__(self, send: Send, database: Database, key_id: str) -> None:
        self._send, self._database, self._key_id = send, database, key_id
        self._is_stream = self._ended = False
        self._check_at = 0.0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._is_stream = Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
            self._check_at = time.monotonic() + RECHECK_SECONDS
        elif self._is_stream and time.monotonic() >= self._check_at:
            self._check_at = time.monotonic() + RECHECK_SECONDS
            if not self._ended and not await run_in_threadpool(self._is_valid):
                log.info("stream_ended_with_its_key")
                self._ended = True
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        if not self._ended:
            await self._send(message)

    def _is_valid(self) -> bool:
        try:
            return keys.is_valid(self._database, self._key_id)
        except DATABASE_UNAVAILABLE:  # keep the stream while the database is unavailable
            return True
