"""Keys and their limits, all checked before the body of a request is received; what is logged of them."""

import socket
import threading
import time

import pytest
from support import pictures, rows
from support.http import Api, problem
from support.keys import Holder, ask, holder
from support.uploads import MEBIBYTE
from support.valkey import Valkey

from core.broker import events
from core.storage import audit, keys


def test_a_long_body_without_a_key_is_discarded_and_then_cut_off(api: Api) -> None:
    holder(api.database, "ada")
    answer, sent = _post(api, "/v1/datasets", 200 * MEBIBYTE)
    assert b"HTTP/1.1 401" in answer
    assert b"application/problem+json" in answer
    assert sent < 100 * MEBIBYTE  # which are discarded, or buffered by the operating system


@pytest.mark.parametrize("length", [200 * MEBIBYTE, None])
def test_an_endless_sign_in_is_discarded_and_then_cut_off(api: Api, length: int | None) -> None:
    holder(api.database, "ada")
    answer, sent = _post(api, "/v1/session", length)
    assert b"HTTP/1.1 413" in answer
    assert sent < 100 * MEBIBYTE


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"POST /v1/nowhere", 404),
        (b"PUT /v1/jobs", 405),
        (b"DELETE /v1/jobs/none", 404),
        (b"GET /v1/jobs", 200),
        (b"POST /v1/datasets", 400),
    ],
)
@pytest.mark.parametrize("expecting", [b"", b"Expect: 100-continue\r\n"])
def test_an_answer_before_the_bodys_end_closes_the_connection(
    api: Api, request_line: bytes, status: int, expecting: bytes
) -> None:
    head = request_line + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        connection.sendall(head + expecting + b"Content-Length: 100000\r\n\r\nno form")
        answer = b""
        while found := connection.recv(65536):
            answer += found
    *interim, final = answer.removesuffix(b"\r\n\r\n").split(b"HTTP/1.1 ")[1:]
    assert all(head.startswith(b"100") for head in interim)
    assert final.startswith(b"%d " % status)
    assert b"\r\nconnection: close\r\n" in final.lower()


def test_an_answer_to_a_whole_body_leaves_the_connection_open(api: Api) -> None:
    for answer in (api.post({}), api.upload(("a.png", pictures.png())), api.client.get("/v1/jobs")):
        assert "connection" not in answer.headers


def test_a_revoked_key_is_refused_at_once(each_api: Api) -> None:
    ada, bob = holder(each_api.database, "ada"), holder(each_api.database, "bob")
    assert ask(each_api, ada, "GET", "/v1/jobs").status_code == 200
    keys.revoke(each_api.database, ada.id)
    problem(ask(each_api, ada, "GET", "/v1/jobs"), 401)
    keys.revoke(each_api.database, bob.id)
    assert ask(each_api, None, "GET", "/v1/jobs").status_code == 200  # on loopback, once no key is left
    problem(ask(each_api, ada, "GET", "/v1/jobs"), 401)


def test_an_event_stream_ends_when_its_key_is_revoked(api: Api, valkey: Valkey) -> None:
    ada = holder(api.database, "ada")
    job_id = rows.accept(ada.database)
    ended = threading.Event()

    def listen() -> None:
        with api.client.stream("GET", f"/v1/jobs/{job_id}/events", headers=ada.headers) as answer:
            for _ in answer.iter_bytes():
                pass
        ended.set()

    listener = threading.Thread(target=listen)
    listener.start()
    with valkey.client() as redis:
        for step in range(60):
            events.publish(redis, job_id, "progress", {"step": step})
            if step == 5:
                assert not ended.is_set()
                keys.revoke(api.database, ada.id)
            if ended.wait(0.2):
                break
    assert ended.is_set()
    listener.join()


def test_the_audit_log_records_key_and_request(api: Api) -> None:
    ada = holder(api.database, "ada")
    answer = api.client.post(
        "/v1/datasets", files=[("images", ("a.png", pictures.png()))], headers={**ada.headers, "X-Request-ID": "r-1"}
    )
    entry = audit.latest(api.database, 1)[0]
    found = (entry.action, entry.subject, entry.key_id, entry.request_id)
    assert found == ("dataset.create", answer.json()["id"], ada.id, "r-1")


def test_a_key_without_space_is_refused_before_its_upload(api: Api) -> None:
    ada = holder(api.database, "ada", max_stored_bytes=9)  # a picture of rows.add_dataset has 3
    before = api.stored()
    answer = ask(api, ada, "POST", "/v1/datasets", files=[("images", ("a.png", pictures.png()))])
    assert "max_stored_bytes" in problem(answer, 429)["detail"]
    assert int(answer.headers["retry-after"]) > 0
    assert api.stored() == before
    rows.add_dataset(ada.database, pictures=3)
    refusal, sent = _post(api, "/v1/datasets", 200 * MEBIBYTE, ada)
    assert b"HTTP/1.1 429" in refusal
    assert sent < 100 * MEBIBYTE


def test_a_key_at_its_limit_of_unfinished_jobs_gets_429(api: Api) -> None:
    ada = holder(api.database, "ada", max_unfinished_jobs=1)
    body = {"kind": "train", "dataset_id": rows.add_dataset(ada.database).id}
    assert ask(api, ada, "POST", "/v1/jobs", json=body).status_code == 202
    answer = ask(api, ada, "POST", "/v1/jobs", json=body)
    assert "max_unfinished_jobs" in problem(answer, 429)["detail"]
    assert int(answer.headers["retry-after"]) > 0


def test_no_log_contains_a_key(own_api: Api, own_valkey: Valkey) -> None:
    ada = holder(own_api.database, "ada", requests_per_minute=30)
    lost = holder(own_api.database, "lost")
    keys.revoke(own_api.database, lost.id)
    for who in (ada, lost):
        for headers in (who.headers, {"Cookie": f"genconvnet_key={who.key}"}, {"Authorization": f"Basic {who.key}"}):
            for method, path in (
                ("GET", "/v1/jobs"),
                ("GET", "/v1/nowhere"),
                ("POST", "/v1/jobs"),
                ("PUT", "/v1/jobs"),
            ):
                own_api.client.request(method, path, headers=headers, json={"kind": who.key})
        for body in ({"key": who.key}, {"key": [who.key]}, {"kee": who.key}, who.key):
            answer = own_api.client.post("/v1/session", json=body)
            assert who.key not in answer.text
    own_valkey.stop()
    assert ask(own_api, ada, "GET", "/v1/jobs").status_code == 200  # without Redis, requests are not counted
    own_api.stop()
    log = own_api.log.read_text()
    assert "requests_not_counted" in log
    for who in (ada, lost):
        assert who.key[10:] not in log


def _post(api: Api, path: str, length: int | None, who: Holder | None = None) -> tuple[bytes, int]:
    """Send a body of zeros, chunked if it has no length. Return the answer and the number of bytes that were sent."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    authorization = "".join(f"{name}: {value}\r\n" for name, value in (who.headers if who else {}).items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{authorization}{framing}\r\n\r\n"
    )
    piece = b"10000\r\n" + b"0" * 65536 + b"\r\n" if length is None else b"0" * 65536
    sent, answer, deadline = 0, b"", time.monotonic() + 20
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        try:
            connection.sendall(head.encode())
            while sent < (length or 200 * MEBIBYTE) and time.monotonic() < deadline:
                sent += connection.send(piece)
        except OSError:  # the server has answered and closed
            pass
        try:
            while found := connection.recv(65536):
                answer += found
        except OSError:
            pass
    return answer, sent
