"""Requests whose end is not clear are refused, and nothing that follows them on the connection is answered."""

import socket

import pytest
from support.http import Api

SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("body", [b"0\r\n\r\n" + SMUGGLED, b"5\r\nhello\r\n", b""])
@pytest.mark.parametrize("path", [b"/v1/jobs", b"/healthz", b"/v1/nowhere"])
def test_a_request_with_two_lengths_is_refused_and_its_connection_closed(api: Api, path: bytes, body: bytes) -> None:
    head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as connection:
        connection.sendall(head + body)
        answer = b""
        while found := connection.recv(65536):
            answer += found
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
    assert b"Transfer-Encoding" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
