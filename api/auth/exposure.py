"""Who can reach the service: this machine alone, or others, for whom keys are needed."""

import ipaddress

from api.settings import ApiSettings
from core.storage import keys
from core.storage.database import Database

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class KeysNeeded(RuntimeError):
    """Others could use the service without a key; the message says what to do."""


def reached_on(settings: ApiSettings) -> str:
    """The address that counts: where a container's port is published, else the one listened on."""
    if settings.published_on is None:
        return settings.host
    address, _, _ = settings.published_on.rpartition(":")
    return address.strip("[]") or "0.0.0.0"  # a port alone is published on every address


def is_exposed(settings: ApiSettings) -> bool:
    """Whether other machines may reach it. A name that is not localhost may lead anywhere."""
    address = reached_on(settings)
    return address != "localhost" and not (is_address(address) and ipaddress.ip_address(address).is_loopback)


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def keys_are_always_needed(settings: ApiSettings) -> bool:
    return is_exposed(settings) and not settings.without_keys


def refuse_without_keys(settings: ApiSettings, database: Database) -> None:
    """Raises KeysNeeded where other machines may reach the service and there is no key."""
    if keys_are_always_needed(settings) and not keys.are_any(database):
        raise KeysNeeded(
            f"other machines would reach the service, on {reached_on(settings)}, and there is no key. Make one by "
            "`genconvnet keys create NAME --admin` (with compose: `docker compose run --rm api keys create NAME "
            "--admin`), or listen on 127.0.0.1. Where all who reach it may use it, say --without-keys or "
            "GENCONVNET_WITHOUT_KEYS=true"
        )
