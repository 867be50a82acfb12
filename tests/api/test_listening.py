"""The addresses that the API listens on, and the probe that serve and the container's health check use."""

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


def test_the_probe_asks_no_proxy_that_the_environment_names(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    assert listening.is_alive("0.0.0.0", api.port)
    assert not listening.is_alive("127.0.0.1", 9)
