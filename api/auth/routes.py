"""/v1/session: the web page signs in, so that pictures and event streams, which carry no header, carry its key."""

import threading
import time
from collections import deque

from fastapi import APIRouter, Request, Response

from api.app_state import AppState, AppStateDep
from api.auth.credentials import COOKIE
from api.auth.middleware import unauthorized
from api.auth.schemas import SessionIn, SessionOut
from core.storage import audit, keys

REFUSALS_PER_MINUTE = 10  # written to the audit log, by each process: who guesses does not fill the disk

router = APIRouter(prefix="/v1/session", tags=["session"])


@router.get("")
def show(request: Request) -> SessionOut:
    """Whose key the request bears."""
    return SessionOut.of(request.state.key)


@router.post("")
def sign_in(app_state: AppStateDep, request: Request, response: Response, asked: SessionIn) -> SessionOut:
    """Keep the key in a cookie that no script reads and no other site sends, until the browser is closed."""
    row = keys.find(app_state.database, asked.key)
    if row is None:
        _refusals.record(app_state)
        raise unauthorized(True)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, asked.key, httponly=True, samesite="strict", secure=secure)
    return SessionOut.of(row)


@router.delete("", status_code=204)
def sign_out(request: Request, response: Response) -> None:
    secure = request.url.scheme == "https"
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=secure)


class _Refusals:
    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=REFUSALS_PER_MINUTE)
        self._lock = threading.Lock()

    def record(self, app_state: AppState) -> None:
        with self._lock:
            if len(self._latest) == REFUSALS_PER_MINUTE and time.monotonic() - self._latest[0] < 60:
                return
            self._latest.append(time.monotonic())
        audit.record(app_state.database, "session.refuse")


_refusals = _Refusals()
