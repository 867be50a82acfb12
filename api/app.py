"""Builds the API application: its routes, middlewares, exception handlers and resources."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from prometheus_fastapi_instrumentator import Instrumentator
from starlette.middleware.cors import CORSMiddleware

from api import errors, presets
from api.app_state import AppState
from api.auth import routes as access
from api.auth.middleware import AuthMiddleware
from api.best_effort import BestEffortCalls
from api.datasets import routes as datasets
from api.datasets.decoder_pool import DecoderPool
from api.datasets.limits import Limits
from api.events import routes as events
from api.events.feed import job_state_reader
from api.files.thumbnails import Thumbnails
from api.http.openapi import PROBLEM_RESPONSES, TITLE, complete_document, operation_id
from api.http.public_urls import PublicPrefixMiddleware
from api.jobs import routes as jobs
from api.jobs.events import job_end_reader
from api.middleware.access_log import AccessLogMiddleware
from api.middleware.body_limit import BodyLimitMiddleware
from api.middleware.framing import FramingMiddleware
from api.middleware.head import HeadMiddleware
from api.middleware.known_methods import KnownMethodsMiddleware
from api.middleware.unexpected_errors import UnexpectedErrorMiddleware
from api.models import routes as models
from api.operations import health
from api.operations.metrics import ServiceMonitor
from api.operations.retention_sweep import RetentionSweeper
from api.operations.silent_jobs import SilentJobsReporter
from api.replays import routes as replays
from api.settings import ApiSettings
from api.uploads.limiter import UploadLimiter
from api.uploads.slow_clients import SlowClientMiddleware
from api.web import reference
from api.web import routes as web
from api.webhooks import routes as webhooks
from api.webhooks.sender import Sender
from core.broker.broadcaster import EventBroadcaster
from core.broker.connection import connect, connect_async
from core.broker.notifier import JobNotifier
from core.jobs.reconciler import Reconciler
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.version import VERSION

CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
CORS_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Range",
    "X-Request-ID",
)
CORS_RESPONSE_HEADERS = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "Retry-After",
    "X-Request-ID",
)
_REQUEST_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)


def create_app(settings: ApiSettings | None = None) -> FastAPI:
    """Return the application. Settings not given are read from the environment."""
    settings = settings or ApiSettings()
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        summary="Learns a generative ConvNet from your pictures.",
        lifespan=lambda app: _lifespan(app, settings),
        docs_url=None,  # see api/web/reference.py
        redoc_url=None,
        responses=PROBLEM_RESPONSES,
        generate_unique_id_function=operation_id,
    )
    errors.install(app)
    for routes in (access, datasets, jobs, events, replays, models, webhooks, presets, health, web, reference):
        app.include_router(routes.router)
    app.include_router(jobs.artifacts_router)
    complete_document(app)
    _add_middlewares(app, settings)
    return app


def _add_middlewares(app: FastAPI, settings: ApiSettings) -> None:
    """Add the middlewares. Each wraps those added before it, so the last one sees a request first."""
    app.add_middleware(HeadMiddleware)
    app.add_middleware(
        SlowClientMiddleware,
        idle_seconds=settings.upload_idle_seconds,
        grace_seconds=settings.upload_grace_seconds,
        bytes_per_second=settings.min_upload_bytes_per_second,
    )
    app.add_middleware(BodyLimitMiddleware, limit=settings.max_body_bytes)
    app.add_middleware(AuthMiddleware, settings=settings)
    app.add_middleware(UnexpectedErrorMiddleware)
    if settings.allowed_origins:
        _allow_origins(app, settings)  # preflights carry no key
    Instrumentator(should_ignore_untemplated=True).instrument(app)  # also counts requests that AuthMiddleware refuses
    app.add_middleware(KnownMethodsMiddleware)
    app.add_middleware(FramingMiddleware)
    app.add_middleware(AccessLogMiddleware)
    app.add_middleware(CorrelationIdMiddleware, validator=lambda given: bool(_REQUEST_ID.fullmatch(given)))
    app.add_middleware(PublicPrefixMiddleware, root_path=settings.root_path)


def _allow_origins(app: FastAPI, settings: ApiSettings) -> None:
    """Let the pages of the allowed origins read responses and send every header that we know (CORS)."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=CORS_METHODS,
        allow_headers=CORS_REQUEST_HEADERS,
        expose_headers=CORS_RESPONSE_HEADERS,
        allow_credentials=settings.allow_credentials,
        allow_private_network=True,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: ApiSettings) -> AsyncIterator[None]:
    """Open the app state, run the background threads while the application serves, and close both."""
    app_state = _open(settings)
    reconciler = Reconciler(app_state.database, app_state.notifier, settings.reconcile_seconds)
    reporter = SilentJobsReporter(app_state.database, app_state.redis, settings.heartbeat_seconds)
    sender = Sender(app_state.database, settings)
    sweeper = RetentionSweeper(app_state.database, app_state.blobs, settings)
    reconciler.start()
    reporter.start()
    sender.start()
    sweeper.start()
    app.state.app_state = app_state
    app_state.decoders.start()
    app.state.monitor = ServiceMonitor(app_state)
    try:
        yield
    finally:
        sender.stop()
        app.state.monitor.close()
        app_state.decoders.close()
        sweeper.stop()
        reporter.stop()
        reconciler.stop()
        await app_state.broadcaster.aclose()
        app_state.redis.close()
        app_state.notifier.close()
        app_state.database.dispose()


def _open(settings: ApiSettings) -> AppState:
    database = Database(settings.rows_url)
    database.migrate()
    blobs = Blobs(settings.blobs_url)
    decoders = DecoderPool(Limits.of(settings), settings.decoders)
    return AppState(
        settings=settings,
        database=database,
        blobs=blobs,
        notifier=JobNotifier(settings.broker_url),
        redis=connect(settings.broker_url),
        broadcaster=EventBroadcaster(
            connect_async(settings.broker_url), job_end_reader(database), job_state_reader(database)
        ),
        best_effort=BestEffortCalls(),
        decoders=decoders,
        upload_limiter=UploadLimiter(settings.uploads_at_once),
        thumbnails=Thumbnails(blobs, decoders, settings.decoders),
    )
