"""Bodies that arrive too slowly, or not at all."""

import contextlib
import socket
import time

from support.http import Api
from support.uploads import HEAD, OPENING, receive_all


def test_a_body_that_stops_arriving_gets_408(impatient: Api) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING)
        answer = receive_all(connection)
    assert b" 408 " in answer
    assert b"application/problem+json" in answer


def test_a_body_that_arrives_too_slowly_gets_408(impatient: Api) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING)
        connection.settimeout(0.2)
        started_at, answer = time.monotonic(), b""
        while not answer and time.monotonic() - started_at < 20:
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(65536)
    assert b" 408 " in answer
