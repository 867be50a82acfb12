"""GET /healthz (is the process alive), GET /readyz (can jobs be accepted and run), GET /metrics (for Prometheus)."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from api.app_state import AppState
from api.errors import problem_response
from api.files.disk_space import find_shortage, local_folders
from api.operations.metrics import ServiceMonitor
from core.broker.heartbeat import count_workers
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
    results = await monitor.probes.run_async(_checks(monitor), CHECK_SECONDS)
    parts = {name: _state(result) for name, result in results.items()}
    missing = [{"field": name, "message": state} for name, state in parts.items() if state != "ok"]
    if missing:
        detail = "not ready: " + ", ".join(f"{part['field']} ({part['message']})" for part in missing)
        return problem_response(503, detail, missing)
    return JSONResponse({"status": "ready", "parts": parts})


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    monitor: ServiceMonitor = request.app.state.monitor
    return Response(generate_latest(REGISTRY) + monitor.prometheus_text(), media_type=CONTENT_TYPE_LATEST)


def _checks(monitor: ServiceMonitor) -> dict[str, Callable[[], object]]:
    app_state = monitor.app_state
    checks: dict[str, Callable[[], object]] = {
        "database": app_state.database.ping,
        "schema": partial(revision.check, app_state.database),
        "blobs": app_state.blobs.ping,
        "disk": partial(_check_disk, app_state),
        "broker": monitor.redis.ping,
    }
    for queue in Queue:
        checks[f"worker:{queue.value}"] = partial(_check_workers, monitor, queue)
    return checks


def _check_workers(monitor: ServiceMonitor, queue: Queue) -> None:
    if count_workers(monitor.redis, queue) == 0:
        raise LookupError(f"no worker listens to the queue {queue.value}")


def _check_disk(app_state: AppState) -> None:
    for folder in local_folders(app_state).values():
        if shortage := find_shortage(folder, app_state.settings.min_free_bytes):
            raise OSError(shortage)


def _state(result: Any) -> str:
    """Return "ok", or the first line of the error that a check has raised."""
    if not isinstance(result, Exception):
        return "ok"
    return str(result).splitlines()[0] if str(result) else type(result).__name__
