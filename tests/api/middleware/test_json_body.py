"""JSON is taken without the Content-Type that says so."""

import json
import socket

import pytest
from support.http import Api, fields, problem


@pytest.mark.parametrize("content_type", [None, "", "application/x-www-form-urlencoded", "text/plain;charset=UTF-8"])
def test_json_needs_no_content_type(api: Api, dataset: str, content_type: str | None) -> None:
    body = json.dumps({"kind": "train", "dataset_id": dataset}).encode()
    header = b"" if content_type is None else f"Content-Type: {content_type}\r\n".encode()
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", api.port), 20) as connection, connection.makefile("rb") as received:
        connection.sendall(head + header + b"\r\n" + body)
        assert received.readline().split()[1] == b"202"


def test_what_is_not_json_is_refused(api: Api) -> None:
    assert fields(api.client.post("/v1/jobs", content=b"kind=train")) == ["body"]
    problem(api.client.post("/v1/jobs", content=b"<a/>", headers={"Content-Type": "application/xml"}), 422)
