"""Import the entry points of the service, and what they import only while they start."""

import importlib

from core.runtime.processes import importing

MODULES = (
    "api.server",
    "worker.app",
    "worker.runner",
    "alembic.command",
    "alembic.config",
    "anyio._backends._asyncio",
    "celery.concurrency.thread",
    "celery.fixups.django",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "support.preloaded",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
)

with importing():
    for name in MODULES:
        importlib.import_module(name)
