"""Connections: headers that do not arrive, and answers to clients that still send."""

import json
import socket
import time
import urllib.error
import urllib.request

import psutil
import pytest
from support import pictures
from support.http import Api
from support.uploads import HEAD, OPENING, receive_all
from support.waiting import PATIENCE_SECONDS, until


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/datasets", {}, 413),
        ("/v1/jobs", {}, 413),
        ("/v1/datasets", {"Authorization": "Bearer gcn_wrong"}, 401),
        ("/v1/jobs", {"Origin": "https://elsewhere.example"}, 403),
        ("/v1/datasets", {"Transfer-Encoding": "chunked", "Content-Length": "40000000"}, 400),
    ],
)
def test_a_client_that_sends_everything_before_it_reads_sees_why_it_is_refused(
    api: Api, path: str, headers: dict[str, str], status: int
) -> None:
    """As urllib does: were the connection closed at once, it would report a reset."""
    chunk = f"{40_000_000:x}\r\n".encode() if "Transfer-Encoding" in headers else b""
    headers = {"Content-Type": "application/octet-stream", **headers}
    url = f"http://127.0.0.1:{api.port}{path}"
    request = urllib.request.Request(url, chunk + bytes(40_000_000), headers, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(request, timeout=PATIENCE_SECONDS)
    assert refused.value.code == status
    assert json.load(refused.value)["title"]
    refused.value.close()


def test_draining_ends_if_the_client_sends_nothing_more(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n" + OPENING)
        assert b" 413 " in receive_all(connection)
        port, process = connection.getsockname()[1], psutil.Process(api.process.pid)

        def connected() -> bool:
            time.sleep(0.1)  # to look takes long
            return any(one.raddr[1:] == (port,) for one in process.net_connections("tcp4") if one.raddr)

        until(lambda: not connected())


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /heal"])
def test_a_connection_with_incomplete_headers_is_closed(impatient: Api, sent: bytes) -> None:
    """Whether they are those of the first request or of a later one."""
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(sent)
        answer = receive_all(connection)
    assert (b" 200 " in answer) == (b"\r\n\r\n" in sent)


def test_a_pause_between_two_requests_is_allowed(impatient: Api) -> None:
    assert impatient.upload(("a.png", pictures.png())).status_code == 201
    time.sleep(1.5)
    assert impatient.upload(("a.png", pictures.png())).status_code == 201
