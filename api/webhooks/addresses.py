"""Allow webhooks only to public addresses: otherwise a client could have this service call hosts of its own network."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

# `is_global` is True for these in some versions of Python: protocol assignments, 6to4 relays, Azure's host.
NOT_PUBLIC = tuple(ipaddress.ip_network(one) for one in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"))
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class PrivateAddress(ValueError):
    """A host has an address that is not public."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host by the system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


async def public_address(host: str, port: int, resolve: Resolve) -> str:
    """Return the host's first address. Raises PrivateAddress unless all are public, OSError if it has none."""
    found = await resolve(host, port)
    if not found:
        raise OSError(f"{host} has no address")
    if not all(is_public(address) for address in found):
        raise PrivateAddress(f"{host} leads to an address that is not public")  # which one is not for clients
    return found[0]


def is_public(address: str) -> bool:
    """Return True for an address of the public internet; for one that embeds an IPv4 address, if that is public."""
    given = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(given, IPv4Address):
        return _is_public_ipv4(given)
    embedded = _embedded_ipv4(given)
    return _is_public_ipv4(embedded) if embedded is not None else given in GLOBAL_UNICAST and given.is_global


def _is_public_ipv4(address: IPv4Address) -> bool:
    special = address.is_multicast or address.is_reserved or any(address in network for network in NOT_PUBLIC)
    return address.is_global and not special


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address to which an IPv6 one leads by NAT64, mapping, 6to4 or Teredo; None if it is no such."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
