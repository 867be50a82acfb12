"""/v1/session: signs the web page in with a cookie, because its pictures and event streams can send no header."""

import threading
import time
from collections import deque

from fastapi import APIRouter, Request, Response

from api.app_state import AppState, AppStateDep
from api.auth.credentials import COOKIE
from api.auth.middleware import unauthorized
from api.auth.schemas import SessionIn, SessionOut
from api.http.public_urls import public_url
from core.storage import audit, keys

REFUSALS_PER_MINUTE = 10  # written to the audit log per process, so that guessing keys does not fill the disk

router = APIRouter(prefix="/v1/session", tags=["session"])


@router.get("")
def show(request: Request) -> SessionOut:
    """Return the key that the request carries."""
    return SessionOut.of(request.state.key)


@router.post("")
def sign_in(app_state: AppStateDep, request: Request, response: Response, body: SessionIn) -> SessionOut:
    """Set a session cookie with the key. Scripts cannot read it and other sites cannot send it."""
    row = keys.find(app_state.database, body.key)
    if row is None:
        _refusals.record(app_state)
        raise unauthorized(key_sent=True)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, body.key, path=public_url("/"), httponly=True, samesite="strict", secure=secure)
    return SessionOut.of(row)


@router.delete("", status_code=204)
def sign_out(request: Request, response: Response) -> None:
    secure = request.url.scheme == "https"
    response.delete_cookie(COOKIE, path=public_url("/"), httponly=True, samesite="strict", secure=secure)


class _RefusalLog:
    """Writes refused sign-ins to the audit log, at most REFUSALS_PER_MINUTE."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=REFUSALS_PER_MINUTE)
        self._lock = threading.Lock()

    def record(self, app_state: AppState) -> None:
        with self._lock:
            if len(self._latest) == REFUSALS_PER_MINUTE and time.monotonic() - self._latest[0] < 60:
                return
            self._latest.append(time.monotonic())
        audit.record(app_state.database, "session.refuse")


_refusals = _RefusalLog()
