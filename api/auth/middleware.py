"""The gate: every request is let in, or refused, before a byte of its body is taken."""

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
from api.auth.origin import Origins
from api.auth.rate_limiter import RateLimiter
from api.errors import Problem, limit_response, problem_response, storage_away
from api.middleware.body_limit import BodyLimitMiddleware
from api.settings import ApiSettings
from core.storage import keys, quotas
from core.storage.access import Access
from core.storage.database import UNAVAILABLE, Database
from core.storage.errors import LimitReached
from core.storage.tables import ApiKey

PROBES = frozenset({"/healthz", "/readyz"})
PAGES = frozenset(
    {"/", "/web/app.js", "/web/style.css", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json", *PROBES}
)
OPEN = frozenset(
    {
        *((method, path) for method in ("GET", "HEAD") for path in PAGES),
        ("POST", "/v1/session"),
        ("DELETE", "/v1/session"),
    }
)
UPLOADS = frozenset({("POST", "/v1/datasets"), ("POST", "/v1/models")})
METRICS = "/metrics"
STRANGERS_BODY_BYTES = 4096
JSON_BODY_BYTES = 1 << 20  # it is read into memory, and parsed where all requests are served
LOOK_AGAIN_SECONDS = 2.0

log = structlog.get_logger()


class AuthMiddleware:
    """ASGI middleware: sets `state.access` (core.storage.access.Access) and `state.key` (the key's row, or None)."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app, self._settings = app, settings
        self._for_strangers = BodyLimitMiddleware(app, limit=STRANGERS_BODY_BYTES)
        self._for_json = BodyLimitMiddleware(app, limit=JSON_BODY_BYTES)
        self._always = keys_required(settings)
        self._origins = Origins(settings)
        self._pace = RateLimiter(settings.broker_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        database: Database = scope["app"].state.app_state.database
        refused = await self._let_in(scope, database)
        if refused is not None:
            await refused(scope, receive, send)
            return
        key: ApiKey | None = scope["state"]["key"]
        if key is None:
            stranger = not scope["state"]["access"].sees_all
            await (self._for_strangers if stranger else self._for_one_let_in)(scope, receive, send)
            return
        with structlog.contextvars.bound_contextvars(key_id=key.id):
            await self._for_one_let_in(scope, receive, _EndOfStream(send, database, key.id))

    async def _for_one_let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["method"], scope["path"]) not in UPLOADS:
            await self._for_json(scope, receive, send)
            return
        app_state: AppState = scope["app"].state.app_state
        key: ApiKey | None = scope["state"]["key"]
        try:
            async with app_state.upload_limiter.slot(key.id if key else None):
                await self._app(scope, receive, send)
        except Problem as error:
            await _refusal(error)(scope, receive, send)

    async def _let_in(self, scope: Scope, database: Database) -> Response | None:
        """The answer to a request that is not let in."""
        try:
            if _is_probe(scope):  # answered also while every thread waits for a database that is silent
                self._check(scope, database)
            else:
                await run_in_threadpool(self._check, scope, database)
        except (Problem, LimitReached, *UNAVAILABLE, RedisError) as error:
            return _refusal(error)
        return None

    def _check(self, scope: Scope, database: Database) -> None:
        """Raises Problem or LimitReached."""
        headers, way = Headers(scope=scope), (scope["method"], scope["path"])
        offered = credentials.find(headers)
        self._origins.check_write(scope["method"], headers, by_cookie=offered is not None and offered.by_cookie)
        state = scope.setdefault("state", {})
        state["key"], state["access"] = None, credentials.anonymous_access(correlation_id.get())
        if _is_probe(scope):
            return
        row = keys.find(database, offered.key) if offered else None
        if row is not None:
            state["key"], state["access"] = row, credentials.access_of(row, self._settings, correlation_id.get())
            self._check_limits(way, row, database.scoped_to(state["access"]))
        elif self._always or keys.any_unrevoked(database):
            if way not in OPEN:
                raise unauthorized(offered is not None)
        else:
            self._origins.check_host(headers)
            if offered is not None and not offered.by_cookie and way not in OPEN:
                raise unauthorized(True)
            state["access"] = Access(request_id=correlation_id.get())

    def _check_limits(self, way: tuple[str, str], row: ApiKey, database: Database) -> None:
        if way[1] == METRICS and not row.admin:
            raise Problem(403, "the metrics tell of everyone's use: only a key with --admin may read them")
        if (per_minute := credentials.requests_per_minute(row, self._settings)) is not None:
            self._pace.check(row.id, per_minute)
        if way in UPLOADS:
            quotas.check_storage_before_upload(database, 1)


def _refusal(error: Exception) -> Response:
    if isinstance(error, Problem):
        refused = problem_response(error.status, error.detail, error.errors, error.headers)
    elif isinstance(error, LimitReached):
        refused = limit_response(error)
    else:
        refused = storage_away(error)
    # Else the server would go on to receive a body that nobody wants.
    refused.headers["Connection"] = "close"
    return refused


def _is_probe(scope: Scope) -> bool:
    return scope["path"] in PROBES and (scope["method"], scope["path"]) in OPEN


def unauthorized(offered: bool) -> Problem:
    wrong = "this key is not known, or was revoked, or has expired"
    detail = wrong if offered else "a key is needed: send it as `Authorization: Bearer KEY`"
    return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})


class _EndOfStream:
    """An event stream ends, within a ping of 15 seconds, when the key that opened it is good no longer."""

    def __init__(self, send: Send, database: Database, key_id: str) -> None:
        self._send, self._database, self._key_id = send, database, key_id
        self._is_stream = self._ended = False
        self._look_at = 0.0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._is_stream = Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
            self._look_at = time.monotonic() + LOOK_AGAIN_SECONDS
        elif self._is_stream and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_AGAIN_SECONDS
            if not self._ended and not await run_in_threadpool(self._is_good):
                log.info("stream_ended_with_its_key")
                self._ended = True
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        if not self._ended:
            await self._send(message)

    def _is_good(self) -> bool:
        try:
            return keys.is_valid(self._database, self._key_id)
        except UNAVAILABLE:  # away for now: nothing was revoked as far as anyone knows
            return True
