"""The key that a request bears: in the Authorization header, or in the cookie of the web page."""

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
    """The header counts before the cookie. Of other schemes than Bearer, which a proxy may use, we know nothing."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == SCHEME:
        return Credentials(key.strip(), by_cookie=False)
    if key := cookie_parser(headers.get("cookie", "")).get(COOKIE, ""):
        return Credentials(key, by_cookie=True)
    return None


def access_of(row: ApiKey, settings: ApiSettings, request_id: str | None) -> Access:
    """What a key may. A limit that it does not have is the settings'."""
    return Access(
        owner=row.seq,
        sees_all=row.admin,
        key_id=row.id,
        request_id=request_id,
        max_stored_bytes=_first(row.max_stored_bytes, settings.max_stored_bytes),
        max_unfinished_jobs=_first(row.max_unfinished_jobs, settings.max_unfinished_jobs),
    )


def anonymous_access(request_id: str | None) -> Access:
    """Of one without a key where one is needed: what is open to all shows no rows."""
    return Access(owner=NO_OWNER, sees_all=False, request_id=request_id)


def requests_per_minute(row: ApiKey, settings: ApiSettings) -> int | None:
    return _first(row.requests_per_minute, settings.requests_per_minute)


def _first(own: int | None, otherwise: int | None) -> int | None:
    return otherwise if own is None else own
