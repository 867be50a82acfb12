"""Where a webhook may lead: to public addresses, so that nobody has our service ask its neighbours for things."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

# What `is_global` lets pass in some versions of Python: protocol assignments, 6to4's relays, Azure's host.
NOT_PUBLIC = tuple(ipaddress.ip_network(one) for one in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"))
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Refused(ValueError):
    """The message says what is wrong with the address."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """As the system does it. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


async def public_address(host: str, port: int, resolve: Resolve) -> str:
    """The first of a host's addresses, all of which are public. Raises Refused, and OSError where it has none."""
    found = await resolve(host, port)
    if not found:
        raise OSError(f"{host} has no address")
    if not all(is_public(address) for address in found):  # which it is, is the network's secret
        raise Refused(f"{host} leads to no public address")
    return found[0]


def is_public(address: str) -> bool:
    """Whether it is one of the internet's, and stands for no other that is not."""
    given = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(given, IPv4Address):
        return _is_public_4(given)
    meant = _meant(given)
    return _is_public_4(meant) if meant is not None else given in GLOBAL_UNICAST and given.is_global


def _is_public_4(address: IPv4Address) -> bool:
    special = address.is_multicast or address.is_reserved or any(address in network for network in NOT_PUBLIC)
    return address.is_global and not special


def _meant(address: IPv6Address) -> IPv4Address | None:
    """The address of version 4 that one of version 6 stands for."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
