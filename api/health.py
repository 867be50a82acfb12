"""/healthz: alive. /readyz: able to take jobs and run them, or which part is missing. /metrics: for Prometheus."""

import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from api.errors import problem_response
from api.metrics import ServiceMonitor
from api.settings import ApiSettings
from core.broker.heartbeat import listening
from core.schemas.jobs import Queue
from core.storage import revision

CHECK_SECONDS = 2.0

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", response_model=None)
async def readyz(request: Request) -> JSONResponse:
    monitor: ServiceMonitor = request.app.state.monitor
    answers = await monitor.probes.run_async(_checks(monitor), CHECK_SECONDS)
    parts = {name: _state(answer) for name, answer in answers.items()}
    missing = [{"field": name, "message": state} for name, state in parts.items() if state != "ok"]
    if missing:
        detail = "not ready: " + ", ".join(f"{part['field']} ({part['message']})" for part in missing)
        return problem_response(503, detail, missing)
    return JSONResponse({"status": "ready", "parts": parts})


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    monitor: ServiceMonitor = request.app.state.monitor
    return Response(generate_latest(REGISTRY) + monitor.exposition(), media_type=CONTENT_TYPE_LATEST)


def _checks(monitor: ServiceMonitor) -> dict[str, Callable[[], object]]:
    app_state = monitor.app_state
    checks: dict[str, Callable[[], object]] = {
        "database": app_state.database.ping,
        "schema": partial(revision.check, app_state.database),
        "blobs": app_state.blobs.ping,
        "disk": partial(_room, app_state.settings),
        "broker": monitor.redis.ping,
    }
    for queue in Queue:
        checks[f"worker:{queue.value}"] = partial(_heard, monitor, queue)
    return checks


def _heard(monitor: ServiceMonitor, queue: Queue) -> None:
    if listening(monitor.redis, queue) == 0:
        raise LookupError(f"no worker listens to the queue {queue.value}")


def _room(settings: ApiSettings) -> None:
    """In the data folder, where anything of the service lies in it."""
    if settings.database_url is not None and settings.blob_url is not None:
        return
    free = shutil.disk_usage(settings.data_dir).free
    if free < settings.min_free_bytes:
        raise OSError(f"{free} bytes are free in the data folder, fewer than {settings.min_free_bytes}")


def _state(answer: Any) -> str:
    if not isinstance(answer, Exception):
        return "ok"
    return str(answer).splitlines()[0] if str(answer) else type(answer).__name__
