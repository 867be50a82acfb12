"""The sockets that the API listens on, and the URL at which it answers."""

import errno
import http.client
import socket
from collections.abc import Sequence
from typing import Any

from core.runtime.startup import CannotStart

BACKLOG = 2048
FREE_PORT_TRIES = 10
LOOPBACK_OF_ALL = {"0.0.0.0": "127.0.0.1", "::": "::1"}
OTHER_PORT = "choose another with --port, or --port 0 for a free one"
OTHER_HOST = "choose an address of this machine with --host, such as 127.0.0.1, ::1, or 0.0.0.0 for all"
PRIVILEGED_PORT = "ports below 1024 are for the administrator; choose another with --port"
NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
ADVICE_FOR_ERRNO = {errno.EADDRINUSE: OTHER_PORT, errno.EACCES: PRIVILEGED_PORT, errno.EPERM: PRIVILEGED_PORT}


def listen(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of `host`, all on the same port: a free one if `port` is 0.

    The host "::" takes IPv4 too if the system can do that. Raises CannotStart.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host name"
        raise CannotStart(f"cannot listen on {host!r} ({reason}): {OTHER_HOST}") from error
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    tries = FREE_PORT_TRIES if port == 0 else 1
    while True:
        tries -= 1
        try:
            return _listen_on_all(addresses, port)
        except OSError as error:
            if tries and error.errno == errno.EADDRINUSE:  # a port that is free in IPv4 may be taken in IPv6
                continue
            reason = f"cannot listen on {url_host(host)}:{port} ({error.strerror})"
            raise CannotStart(f"{reason}: {ADVICE_FOR_ERRNO.get(error.errno or 0, OTHER_HOST)}") from error


def free_port(host: str, port: int = 0) -> int:
    """Return `port` or, if that is 0, a port that is free on all addresses of `host`. Raises CannotStart if in use."""
    sockets = listen(host, port)
    found: int = sockets[0].getsockname()[1]
    for one in sockets:
        one.close()
    return found


def _listen_on_all(addresses: Sequence[tuple[int, tuple[Any, ...]]], port: int) -> list[socket.socket]:
    """Listen on each address that the machine has, all on one port. Raises OSError, with no socket left open."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in addresses:
        chosen = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_listen(family, (address[0], chosen, *address[2:])))
        except OSError as error:
            missing = error
            if error.errno not in NO_SUCH_ADDRESS:  # "localhost" has an IPv6 address on systems without IPv6 too
                for listener in sockets:
                    listener.close()
                raise
    if missing is not None and not sockets:
        raise missing
    return sockets


def _listen(family: int, address: tuple[object, ...]) -> socket.socket:
    # asyncio sets TCP_NODELAY only if the protocol is named. Without it each small answer waits 40 ms for the client's
    # delayed acknowledgement of its headers.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def url_host(host: str) -> str:
    """Return the host as a URL has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def own_url(host: str, port: int) -> str:
    """Return the URL at which a process of this machine reaches the API."""
    return f"http://{url_host(own_host(host))}:{port}"


def own_host(host: str) -> str:
    """Return the address at which a process of this machine reaches an API that listens on `host`."""
    return LOOPBACK_OF_ALL.get(host, host)


def is_alive(host: str, port: int, timeout_seconds: float = 2.0) -> bool:
    """Return True if the API that listens on `host` answers /healthz. The environment's proxies are not asked."""
    connection = http.client.HTTPConnection(own_host(host), port, timeout=timeout_seconds)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
