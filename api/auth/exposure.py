"""Decides from the settings whether other machines can reach the service, and so whether keys are required."""

import ipaddress

from api.settings import ApiSettings
from core.runtime.startup import CannotStart
from core.storage import keys
from core.storage.database import Database

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class KeysRequired(CannotStart):
    """Other machines can reach the service and there is no key yet; the message says what to do."""


def reachable_address(settings: ApiSettings) -> str:
    """Return the address at which clients reach the service.

    That is the address on which a container's port is published, or else the address the service listens on.
    """
    if settings.published_on is None:
        return settings.host
    address, _, _ = settings.published_on.rpartition(":")
    return address.strip("[]") or "0.0.0.0"  # a port without an address is published on every address


def is_exposed(settings: ApiSettings) -> bool:
    """Return True if other machines may reach the service.

    Any name but "localhost" counts as exposed, because it may resolve to any address.
    """
    address = reachable_address(settings)
    return address != "localhost" and not (is_address(address) and ipaddress.ip_address(address).is_loopback)


def is_address(name: str) -> bool:
    """Return True if `name` is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def keys_required(settings: ApiSettings) -> bool:
    """Return True if every request needs a key, even if no key exists."""
    return is_exposed(settings) and not settings.without_keys


def require_keys(settings: ApiSettings, database: Database) -> None:
    """Raise KeysRequired if the service needs keys and the database has none."""
    if keys_required(settings) and not keys.any_unrevoked(database):
        raise KeysRequired(
            f"other machines can reach the service on {reachable_address(settings)}, and there is no key: create one "
            "with `genconvnet keys create NAME --admin` (with compose: `docker compose run --rm api keys create NAME "
            "--admin`), or listen on 127.0.0.1, or, if everyone who can reach the service may use it, pass "
            "--without-keys or set GENCONVNET_WITHOUT_KEYS=true"
        )
