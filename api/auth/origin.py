"""Where a request may come from: pages of other sites neither reach a service without keys, nor write to any."""

import re

from starlette.datastructures import Headers

from api.auth.exposure import LOOPBACK_NAMES, is_address, is_exposed, reachable_address
from api.errors import Problem
from api.settings import ApiSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:@/\\\[\]]+))(?::\d{1,5})?", re.IGNORECASE)


class Origins:
    """What the settings say of hosts and origins. The checks raise Problem."""

    def __init__(self, settings: ApiSettings) -> None:
        self._names = LOOPBACK_NAMES | {name.lower() for name in (reachable_address(settings), *settings.allowed_hosts)}
        # Of a service on every address of its machine, each is its own; an address cannot be rebound as a name can.
        self._any_address = is_exposed(settings) and reachable_address(settings) in EVERY_ADDRESS
        self._origins = frozenset(origin.rstrip("/").lower() for origin in settings.allowed_origins)

    def check_host(self, headers: Headers) -> None:
        """The service is called by a name of its own. Else a site whose name leads to this machine could use it."""
        given = headers.getlist("host")
        found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        name = (found[1] or found[2]).lower() if found else ""
        if name in self._names or (self._any_address and is_address(name)):
            return
        raise Problem(
            421,
            "the Host header names a host that this service does not know itself by; "
            "GENCONVNET_ALLOWED_HOSTS may name more",
            [{"field": "Host", "message": "is not known here"}],
        )

    def check_write(self, method: str, headers: Headers, *, by_cookie: bool) -> None:
        """No page of another site writes. What a cookie lets in must say that it comes from a page of our own."""
        if method in SAFE_METHODS:
            return
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin.lower() in self._origins:
            return
        own = origin is not None and origin.partition("://")[2].lower() == headers.get("host", "").lower()
        if (origin is not None and not own) or site == "cross-site":
            raise _foreign("pages of other origins may not write here")
        if by_cookie and not own and site != "same-origin":
            raise _foreign("a write with a cookie needs an Origin header that names this service")


def _foreign(detail: str) -> Problem:
    field = {"field": "Origin", "message": "is not this service's"}
    return Problem(403, f"{detail}; GENCONVNET_ALLOWED_ORIGINS may name more", [field])
