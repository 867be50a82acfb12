"""Reads the host names and the origins that an operator allows, in the form in which browsers send them.

They are compared with headers letter by letter, so that one in another form would never match. Also reads the address
on which a container's port is published.
"""

import ipaddress
import re
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([0-9a-f:]+:[0-9a-f:.]+)|([^\s:@/\\\[\]?#*,]+))(?::\d{1,5})?", re.IGNORECASE)

_PUBLISHED = re.compile(r"(?:(?:\[([^\[\]]+)\]|([^:\[\]]+)):)?(\d{1,5})", re.ASCII)


def parse_host(text: str) -> str:
    """Return a host name as a Host header has it, without a port. Raises ValueError."""
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no host name: write only the name, as in pictures.example.org")
    return _ascii(found[1] or found[2] or found[3]).lower()


def parse_origin(text: str) -> str:
    """Return an origin as an Origin header has it: in small letters, without a default port. Raises ValueError."""
    if text == "*":
        raise ValueError("'*' would open the service to the pages of every site: list the origins that may use it")
    parts = urlsplit(text)
    if not parts.netloc or not parts.scheme:
        raise ValueError(f"{text!r} is no origin: write it with its scheme, as in https://example.org")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(
            f"{text!r} is no origin, which has only a scheme, a host and a port, as in https://example.org"
        )
    host, port = parse_host(parts.netloc.rpartition("@")[2]), parts.port  # `port` raises ValueError if it is no number
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{port}")


def parse_published(text: str) -> str:
    """Return the address and port on which a container's port is published, as in a compose file. Raises ValueError."""
    found = _PUBLISHED.fullmatch(text)
    if found is None or not 0 < int(found[3]) < 65536 or not _is_local(found[1] or found[2]):
        raise ValueError(f"{text!r} is no address with a port: write both, as in 127.0.0.1:8000, or only the port")
    return text


def _is_local(address: str | None) -> bool:
    """Return True if a port can be published on the address: None for all of this machine's."""
    if address in (None, "localhost"):
        return True
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _ascii(name: str) -> str:
    """Return the name as browsers send it: letters beyond ASCII in Punycode."""
    return name if name.isascii() else name.encode("idna").decode()
