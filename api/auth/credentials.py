"""Finds the key that a request carries, and what that key allows."""

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from api.settings import ApiSettings
from core.storage.access import Access
from core.storage.tables import NO_OWNER, ApiKey

COOKIE = "genconvnet_key"
SCHEME = "bearer"


@dataclass(frozen=True)
class Credentials:
    key: str
    by_cookie: bool


def find(headers: Headers) -> Credentials | None:
    """Return the key in the Authorization header, or else in the web page's cookie.

    Authorization headers of other schemes than Bearer are ignored: they may be meant for a proxy.
    """
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == SCHEME:
        return Credentials(key.strip(), by_cookie=False)
    if key := cookie_parser(headers.get("cookie", "")).get(COOKIE, ""):
        return Credentials(key, by_cookie=True)
    return None


def access_of(row: ApiKey, settings: ApiSettings, request_id: str | None) -> Access:
    """Return what a key may access. Limits that it does not set itself come from the settings."""
    return Access(
        owner=row.seq,
        sees_all=row.admin,
        key_id=row.id,
        request_id=request_id,
        max_stored_bytes=_first(row.max_stored_bytes, settings.max_stored_bytes),
        max_unfinished_jobs=_first(row.max_unfinished_jobs, settings.max_unfinished_jobs),
    )


def anonymous_access(request_id: str | None) -> Access:
    """Return the access of a client without a valid key while keys are required: it sees no rows."""
    return Access(owner=NO_OWNER, sees_all=False, request_id=request_id)


def requests_per_minute(row: ApiKey, settings: ApiSettings) -> int | None:
    """Return the key's own rate limit, or else that of the settings."""
    return _first(row.requests_per_minute, settings.requests_per_minute)


def _first(own: int | None, default: int | None) -> int | None:
    return default if own is None else own
