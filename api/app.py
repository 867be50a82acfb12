"""The API process: routes, errors, and what it holds open. No torch."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from prometheus_fastapi_instrumentator import Instrumentator

from api import errors, health, presets
from api.datasets import routes as datasets
from api.house import House
from api.jobs import routes as jobs
from api.models import routes as models
from api.settings import ApiSettings
from api.web import routes as web
from core.broker.bell import Bell, Reconciler
from core.broker.connection import connect, connect_async
from core.store.blobs import Blobs
from core.store.database import Database

VERSION = "0.1.0"
_REQUEST_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)


def create_app(settings: ApiSettings | None = None) -> FastAPI:
    """The service, whose settings come from the environment where none are given."""
    settings = settings or ApiSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        house = _open(settings)
        reconciler = Reconciler(house.database, house.bell, settings.reconcile_seconds)
        reconciler.start()
        app.state.house = house
        yield
        reconciler.stop()
        await house.async_redis.aclose()
        house.redis.close()
        house.bell.close()
        house.database.dispose()

    app = FastAPI(
        title="genconvnet",
        version=VERSION,
        summary="Learns a generative ConvNet from your pictures.",
        lifespan=lifespan,
    )
    errors.install(app)
    for routes in (datasets, jobs, models, presets, health, web):
        app.include_router(routes.router)
    Instrumentator(should_ignore_untemplated=True).instrument(app).expose(app, include_in_schema=False)
    app.add_middleware(errors.BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(CorrelationIdMiddleware, validator=lambda given: bool(_REQUEST_ID.fullmatch(given)))
    return app


def _open(settings: ApiSettings) -> House:
    database = Database(settings.rows_url)
    database.migrate()
    return House(
        settings=settings,
        database=database,
        blobs=Blobs(settings.blobs_url),
        bell=Bell(settings.broker_url),
        redis=connect(settings.broker_url),
        async_redis=connect_async(settings.broker_url),
    )
