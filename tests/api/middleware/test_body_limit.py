"""Bodies that are too large are refused, by their length or as they arrive."""

import socket

from PIL import Image
from support import pictures
from support.http import Api, problem
from support.uploads import HEAD, MEBIBYTE, OPENING


def test_only_uploads_may_exceed_1_mib(api: Api) -> None:
    """JSON is read into memory and parsed in the event loop that serves all requests."""
    long = {"content": b'{"x": [' + b"[]," * 400_000 + b"[]]}", "headers": {"Content-Type": "application/json"}}
    for path in ("/v1/jobs", "/v1/webhooks", "/v1/jobs/job_x/resume"):
        problem(api.client.post(path, **long), 413)
    noise = pictures.encoded(Image.effect_noise((650, 650), 60), "PNG")
    assert api.upload(*((f"{index}.png", noise) for index in range(4))).status_code == 201
    assert 4 * len(noise) > MEBIBYTE


def _raw(api: Api, head: bytes, pieces: list[bytes]) -> bytes:
    """Send a request as raw bytes until the server closes the connection; return the response."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as connection:
        try:
            connection.sendall(head)
            for piece in pieces:
                connection.sendall(piece)
        except OSError:  # the server has answered and closed
            pass
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except OSError:
            pass
        return answer


def test_a_content_length_too_large_is_refused_before_the_body_is_sent(api: Api) -> None:
    answer = _raw(api, HEAD + b"Connection: close\r\nContent-Length: 3000001\r\n\r\n", [])
    assert b"HTTP/1.1 413" in answer
    assert b"application/problem+json" in answer


def test_a_chunked_body_too_large_is_refused(api: Api) -> None:
    before = api.stored()

    def chunked(piece: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(piece), piece)

    pieces = [chunked(OPENING), *[chunked(b"\0" * 100_000)] * 31, b"0\r\n\r\n"]
    answer = _raw(api, HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n", pieces)
    assert b"HTTP/1.1 413" in answer
    assert b"application/problem+json" in answer
    assert api.stored() == before
