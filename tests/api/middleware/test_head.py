"""HEAD is answered wherever GET is. test_authorization.py compares both for every operation of a row."""

import socket

import pytest
from support import rows
from support.http import Api

VOLATILE = {"date", "x-request-id", "content-length"}


@pytest.mark.parametrize(
    "path",
    ["/", "/web/app.js", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics", "/v1/jobs", "/v1/presets"],
)
def test_head_has_the_status_and_headers_of_get(api: Api, path: str) -> None:
    head, get = api.client.head(path), api.client.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    without = [{name: value for name, value in one.headers.items() if name not in VOLATILE} for one in (head, get)]
    assert without[0] == without[1]


def test_head_of_an_unfinished_stream_ends(api: Api) -> None:
    job_id = rows.accept(api.database)
    head = api.client.head(f"/v1/jobs/{job_id}/events")
    assert head.headers["content-type"].startswith("text/event-stream")


def test_a_connection_goes_on_after_head(api: Api) -> None:
    job_id = rows.accept(api.database)
    paths = (f"/v1/jobs/{job_id}/events", f"/v1/jobs/{job_id}/artifacts.zip", "/v1/presets", "/nowhere")
    lines = []
    with socket.create_connection(("127.0.0.1", api.port), 20) as connection, connection.makefile("rb") as received:
        for path in paths:
            connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            lines.append(received.readline())
            while received.readline() != b"\r\n":
                pass
    assert [line.split()[1] for line in lines] == [b"200", b"200", b"200", b"404"]


def test_head_of_what_has_no_get_is_refused(api: Api) -> None:
    assert api.client.head("/v1/replays/none").status_code == 404
    assert api.client.head("/v1/jobs/none/cancel").status_code == 405
