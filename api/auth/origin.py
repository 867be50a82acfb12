"""Refuses requests made by other sites' pages: they may not write, nor use a service that needs no keys."""

import re

from starlette.datastructures import Headers

from api.auth.exposure import LOOPBACK_NAMES, is_address, is_exposed, reachable_address
from api.errors import Problem
from api.settings import ApiSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ALL_ADDRESSES = frozenset({"0.0.0.0", "::"})
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:@/\\\[\]]+))(?::\d{1,5})?", re.IGNORECASE)


class OriginPolicy:
    """The hosts and origins that the settings allow. The checks raise Problem."""

    def __init__(self, settings: ApiSettings) -> None:
        address = reachable_address(settings)
        self._names = LOOPBACK_NAMES | {name.lower() for name in (address, *settings.allowed_hosts)}
        # A service that listens on all addresses of its machine accepts any address as its host: unlike a name, an
        # address cannot be rebound to another machine.
        self._any_address = is_exposed(settings) and address in ALL_ADDRESSES
        self._origins = frozenset(settings.allowed_origins)

    def check_host(self, headers: Headers) -> None:
        """Raise Problem 421 unless the Host header names this service.

        This stops DNS rebinding: a site could otherwise use the service through a name that resolves to this machine.
        """
        hosts = headers.getlist("host")
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        name = (found[1] or found[2]).lower() if found else ""
        if name in self._names or (self._any_address and is_address(name)):
            return
        raise Problem(
            421,
            "the Host header is not a known name of this service; GENCONVNET_ALLOWED_HOSTS can add names",
            [{"field": "Host", "message": "unknown host"}],
        )

    def check_write(self, method: str, headers: Headers, *, by_cookie: bool) -> None:
        """Raise Problem 403 if a write comes from another site's page.

        A write authenticated by the cookie must prove that it comes from our own page.
        """
        if method in SAFE_METHODS:
            return
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin.lower() in self._origins:
            return
        own = origin is not None and origin.partition("://")[2].lower() == headers.get("host", "").lower()
        if (origin is not None and not own) or site == "cross-site":
            raise _foreign_origin("pages of other origins may not write")
        if by_cookie and not own and site != "same-origin":
            raise _foreign_origin("a write with a cookie needs an Origin header that names this service")


def _foreign_origin(detail: str) -> Problem:
    error = {"field": "Origin", "message": "not an origin of this service"}
    return Problem(403, f"{detail}; GENCONVNET_ALLOWED_ORIGINS can add origins", [error])
