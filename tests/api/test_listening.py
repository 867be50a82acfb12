"""The addresses that the API listens on, and the probe that serve and the container's health check use."""

import asyncio
import socket

import pytest
from support.http import Api

from api import listening


@pytest.mark.parametrize(
    ("host", "clients"), [("::", ["::1", "127.0.0.1"]), ("::1", ["::1"]), ("0.0.0.0", ["127.0.0.1"])]
)
def test_one_port_of_every_address_is_listened_on(host: str, clients: list[str]) -> None:
    sockets = listening.listen(host, 0)
    port = sockets[0].getsockname()[1]
    for client in clients:
        socket.create_connection((client, port), timeout=10).close()
    assert listening.own_url(host, port) == f"http://{'[::1]' if ':' in host else '127.0.0.1'}:{port}"
    for one in sockets:
        one.close()


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_headers() -> None:
    """asyncio sends at once what is written to a connection (TCP_NODELAY)."""

    async def is_set() -> int:
        delays: asyncio.Queue[int] = asyncio.Queue()

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            delays.put_nowait(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        (listener,) = listening.listen("127.0.0.1", 0)
        async with await asyncio.start_server(accept, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            found = await delays.get()
            writer.close()
            await writer.wait_closed()
        return found

    assert asyncio.run(is_set())


def test_a_free_port_is_free_in_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system picks one that is free in the first; if the second has it in use, another is tried."""
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        both = [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0, 0, 0))]
        found = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in both]
        monkeypatch.setattr(listening.socket, "getaddrinfo", lambda *_, **__: found)
        picked = iter([port])
        bind = listening._listen

        def listen_there_first(family: int, address: tuple[object, ...]) -> socket.socket:
            chosen = next(picked, 0) if address[1] == 0 else address[1]
            return bind(family, (address[0], chosen, *address[2:]))

        monkeypatch.setattr(listening, "_listen", listen_there_first)
        sockets = listening.listen("localhost", 0)
    ports = {one.getsockname()[1] for one in sockets}
    assert len(sockets) == 2
    assert len(ports) == 1
    assert ports != {port}
    for one in sockets:
        one.close()


def test_the_probe_asks_no_proxy_that_the_environment_names(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    assert listening.is_alive("0.0.0.0", api.port)
    assert not listening.is_alive("127.0.0.1", 9)
