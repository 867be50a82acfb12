"""/healthz: alive. /readyz: able to take jobs and run them, or which part is missing."""

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.errors import problem_response
from api.house import House, InHouse
from core.broker.presence import listening
from core.contracts.jobs import Queue

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", response_model=None)
def readyz(house: InHouse) -> JSONResponse:
    parts = {name: _state(check) for name, check in _checks(house).items()}
    missing = [{"field": name, "message": state} for name, state in parts.items() if state != "ok"]
    if missing:
        detail = "not ready: " + ", ".join(f"{part['field']} ({part['message']})" for part in missing)
        return problem_response(503, detail, missing)
    return JSONResponse({"status": "ready", "parts": parts})


def _checks(house: House) -> dict[str, Callable[[], object]]:
    checks: dict[str, Callable[[], object]] = {
        "database": house.database.ping,
        "blobs": house.blobs.ping,
        "broker": house.redis.ping,
    }
    for queue in Queue:
        checks[f"worker:{queue.value}"] = partial(_heard, house, queue)
    return checks


def _heard(house: House, queue: Queue) -> None:
    if listening(house.redis, queue) == 0:
        raise LookupError(f"no worker listens to the queue {queue.value}")


def _state(check: Callable[[], object]) -> str:
    try:
        check()
    except Exception as error:  # whatever it is, this part is not ready, and the answer says why
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return "ok"
