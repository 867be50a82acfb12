"""Keys, cookies, hosts, origins and rate limits, all checked before a request's body is received."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from support import in_process, pictures, rows
from support.http import Api, problem
from support.keys import Holder, ask, holder
from support.postgres import PostgresServer
from support.valkey import Valkey
from typer.testing import CliRunner

from api.auth.exposure import is_exposed, require_keys
from api.cli import app
from api.settings import ApiSettings
from core.broker import events
from core.storage import audit, keys
from core.storage.database import Database

MEBIBYTE = 1 << 20
FOREIGN = {"Origin": "https://evil.example"}


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


@pytest.mark.parametrize("method", ["FOO", "TRACE", "CONNECT", "A" * 500])
@pytest.mark.parametrize("path", ["/v1/jobs", "/", "/healthz", "/v1/nowhere"])
def test_an_unknown_method_is_refused_and_does_not_become_a_label(api: Api, method: str, path: str) -> None:
    refused = api.client.request(method, path)
    problem(refused, 405)
    assert "GET" in refused.headers["allow"].split(", ")
    ada = holder(api.database, "ada")
    problem(api.client.request(method, path), 405)
    problem(ask(api, ada, method, path), 405)
    keys.revoke(api.database, ada.id)
    assert f'method="{method}"' not in api.client.get("/metrics").text


def test_the_page_forbids_framing(api: Api) -> None:
    linked = re.findall(r'(?:href|src)="(web/[^"]+)"', api.client.get("/").text)
    assert {Path(path).suffix for path in linked} >= {".js", ".css"}
    for path in ("/", *(f"/{path}" for path in linked)):
        assert "frame-ancestors 'none'" in api.client.get(path).headers["content-security-policy"].split("; ")


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


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1@evil.example", "", "10.0.0.1"])
def test_without_keys_a_foreign_host_is_refused(api: Api, host: str) -> None:
    for path in ("/v1/jobs", "/", "/metrics"):
        problem(api.client.get(path, headers={"Host": host}), 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:8000", "[::1]"])
def test_without_keys_every_loopback_name_is_accepted(api: Api, host: str) -> None:
    assert api.client.get("/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        FOREIGN,
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("with_key", [True, False])
def test_pages_of_other_origins_cannot_write(api: Api, headers: dict[str, str], with_key: bool) -> None:
    key = holder(api.database, "ada").headers if with_key else {}
    before = api.stored()
    for method, path in (("POST", "/v1/datasets"), ("POST", "/v1/session"), ("DELETE", "/v1/jobs/none")):
        problem(api.client.request(method, path, headers={**key, **headers}), 403)
    assert api.stored() == before
    answer = api.client.get("/v1/jobs", headers={**key, **headers})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_page_signs_in_and_out_by_a_cookie(api: Api) -> None:
    ada = holder(api.database, "ada")
    dataset = rows.add_dataset(ada.database)
    own = {"Origin": str(api.client.base_url).rstrip("/")}
    problem(api.client.post("/v1/session", json={"key": "gcn_wrong"}), 401)
    answer = api.client.post("/v1/session", json={"key": ada.key}, headers=own)
    api.client.cookies.clear()
    assert answer.json()["key"]["name"] == "ada"
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    with_cookie = {"Cookie": cookie.partition(";")[0]}
    assert api.client.get(f"/v1/datasets/{dataset.id}", headers=with_cookie).status_code == 200
    body = {"kind": "train", "dataset_id": dataset.id}
    problem(api.client.post("/v1/jobs", json=body, headers=with_cookie), 403)
    problem(api.client.post("/v1/jobs", json=body, headers={**with_cookie, **FOREIGN}), 403)
    assert api.client.post("/v1/jobs", json=body, headers={**with_cookie, **own}).status_code == 202
    left = api.client.delete("/v1/session", headers={**with_cookie, **own})
    assert left.status_code == 204
    assert 'genconvnet_key=""' in left.headers["set-cookie"]


def test_the_cookie_is_marked_secure_over_https(api: Api) -> None:
    ada = holder(api.database, "ada")
    for scheme in ("http", "https"):  # set by a proxy on this machine
        answer = api.client.post("/v1/session", json={"key": ada.key}, headers={"X-Forwarded-Proto": scheme})
        assert ("Secure" in answer.headers["set-cookie"].split("; ")) is (scheme == "https")
        api.client.cookies.clear()


def test_refused_sign_ins_are_logged_and_do_not_fill_the_log(api: Api) -> None:
    holder(api.database, "ada")
    for _ in range(30):
        problem(api.client.post("/v1/session", json={"key": "gcn_wrong"}, headers={"X-Request-ID": "guess"}), 401)
    refused = [entry for entry in audit.latest(api.database, 100) if entry.action == "session.refuse"]
    assert 0 < len(refused) <= 10
    assert {entry.request_id for entry in refused} == {"guess"}


def test_the_audit_log_records_key_and_request(api: Api) -> None:
    ada = holder(api.database, "ada")
    answer = api.client.post(
        "/v1/datasets", files=[("images", ("a.png", pictures.png()))], headers={**ada.headers, "X-Request-ID": "r-1"}
    )
    entry = audit.latest(api.database, 1)[0]
    found = (entry.action, entry.subject, entry.key_id, entry.request_id)
    assert found == ("dataset.create", answer.json()["id"], ada.id, "r-1")


def test_all_apis_count_the_requests_of_a_key_together(api: Api, tmp_path: Path, valkey: Valkey) -> None:
    ada = holder(api.database, "ada", requests_per_minute=4)
    bob = holder(api.database, "bob", requests_per_minute=4)
    with Api(tmp_path, valkey.url, str(api.database.engine.url)) as other_api:
        answers = [ask(one, ada, "GET", "/v1/jobs") for one in (api, other_api) * 3]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
        assert "requests_per_minute" in problem(answers[-1], 429)["detail"]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert ask(other_api, bob, "GET", "/v1/jobs").status_code == 200


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


@pytest.mark.parametrize(
    ("host", "published_on", "expected"),
    [
        ("127.0.0.1", None, False),
        ("127.5.5.5", None, False),
        ("localhost", None, False),
        ("::1", None, False),
        ("0.0.0.0", None, True),
        ("::", None, True),
        ("192.168.1.5", None, True),
        ("our.example", None, True),
        ("0.0.0.0", "127.0.0.1:8000", False),
        ("0.0.0.0", "[::1]:8000", False),
        ("127.0.0.1", "8000", True),
        ("0.0.0.0", "localhost:8000", False),
        ("0.0.0.0", "0.0.0.0:8000", True),
        ("0.0.0.0", "192.168.1.5:8000", True),
    ],
)
def test_exposure_follows_from_host_and_published_port(host: str, published_on: str | None, expected: bool) -> None:
    assert is_exposed(ApiSettings(host=host, published_on=published_on)) is expected


@pytest.mark.parametrize("part", ["api", "serve"])
def test_an_exposed_service_without_keys_does_not_start(part: str, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("genconvnet")), part, "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(
        [*command, "--data-dir", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "genconvnet keys create" in done.stderr
    assert "--without-keys" in done.stderr


def test_an_exposed_service_with_a_key_always_requires_one(tmp_path: Path, valkey: Valkey) -> None:
    database = Database(f"sqlite:///{tmp_path / 'rows.sqlite3'}")
    database.migrate()
    ada = holder(database, "ada")
    with Api(tmp_path, valkey.url, GENCONVNET_HOST="0.0.0.0") as api:
        assert ask(api, ada, "GET", "/v1/jobs").status_code == 200
        keys.revoke(database, ada.id)
        problem(ask(api, None, "GET", "/v1/jobs"), 401)  # unlike on loopback, even though no key is left
    database.dispose()


def test_an_exposed_service_runs_without_keys_if_configured(tmp_path: Path, valkey: Valkey) -> None:
    settings = ApiSettings(
        data_dir=tmp_path,
        broker_url=valkey.url,
        host="0.0.0.0",
        without_keys=True,
        allowed_hosts="our.example, other.example",
        allowed_origins="https://b.example",
    )
    with in_process.running(settings) as api:
        require_keys(settings, api.app_state.database)
        for host in ("our.example", "other.example:80", "192.168.1.5:8000", "127.0.0.1:8000"):
            assert api.get("/v1/jobs", host=host).status_code == 200
        problem(api.get("/v1/jobs", host="evil.example"), 421)
        allowed = {"origin": "https://b.example", "sec_fetch_site": "cross-site"}
        problem(api.request("POST", "/v1/jobs", {}, **allowed), 422)
        problem(api.request("POST", "/v1/jobs", {}, origin=FOREIGN["Origin"]), 403)


def test_a_container_published_on_loopback_needs_no_keys(tmp_path: Path, valkey: Valkey) -> None:
    """As in docker-compose.yml."""
    settings = ApiSettings(data_dir=tmp_path, broker_url=valkey.url, host="0.0.0.0", published_on="127.0.0.1:8000")
    with in_process.running(settings) as api:
        require_keys(settings, api.app_state.database)
        assert api.get("/v1/jobs").status_code == 200
        problem(api.get("/v1/jobs", host="192.168.1.5:8000"), 421)


def test_the_commands_create_list_and_revoke_keys_and_show_the_audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.commands.database.configure_logs", lambda _: None)

    def run(*words: str) -> tuple[str, str]:
        done = CliRunner().invoke(app, [*words, "--data-dir", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return done.stdout, done.stderr

    key, advice = run("keys", "create", "ada", "--admin", "--max-unfinished-jobs", "3")
    assert key.startswith("gcn_")
    assert key.strip() not in advice
    key_id = advice.split(",")[0]
    listed = run("keys", "list")[0]
    assert all(word in listed for word in (key_id, "ada", key[:10], "admin", "3 unfinished jobs"))
    assert key.strip() not in listed
    assert "No key is left" in run("keys", "revoke", key_id)[1]
    entries = run("audit")[0].splitlines()
    assert [("key.create" in line, "key.revoke" in line) for line in entries] == [(True, False), (False, True)]


def test_keys_list_cuts_no_id_and_keys_are_revoked_by_name_prefix_or_the_key_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.commands.database.configure_logs", lambda _: None)
    monkeypatch.setenv("COLUMNS", "20")

    def run(*words: str, exit_code: int = 0) -> tuple[str, str]:
        done = CliRunner().invoke(app, [words[0], *words[1:2], "--data-dir", str(tmp_path), *words[2:]])
        assert done.exit_code == exit_code, done.output
        return done.stdout, done.stderr

    names = ["ada", "ada", "名前 " * 40, "carl", "dora"]
    made = [json.loads(run("keys", "create", name, "--json")[0]) for name in names]
    listed = run("keys", "list")[0].splitlines()
    assert len(listed) == 1 + len(made)
    for one in made:
        assert any(line.startswith(one["id"]) and one["name"].strip() in line for line in listed)
    as_json = [json.loads(line) for line in run("keys", "list", "--json")[0].splitlines()]
    assert [one["id"] for one in as_json] == [one["id"] for one in reversed(made)]
    assert all(one["key"] not in str(as_json) for one in made)

    ambiguous = run("keys", "revoke", "ada", exit_code=2)[1]
    assert all(one["id"] in ambiguous for one in made[:2])
    assert made[0]["id"] in run("keys", "revoke", made[0]["id"])[1]
    assert made[1]["id"] in run("keys", "revoke", "ada")[1], "only one of the name is left"
    assert "already revoked" in run("keys", "revoke", "ada", exit_code=2)[1]
    assert made[2]["id"] in run("keys", "revoke", names[2])[1]
    revoked = json.loads(run("keys", "revoke", made[3]["prefix"], "--json")[0])
    assert (revoked["id"], revoked["revoked_at"] is None) == (made[3]["id"], False)
    wrong = made[4]["key"][:-1] + ("A" if made[4]["key"][-1] != "A" else "B")
    refused = run("keys", "revoke", wrong, exit_code=2)[1]
    assert wrong not in refused
    assert f"did you mean {made[4]['id']} (dora)?" in refused
    id_ = made[4]["id"]
    for cut in (
        id_[4:12],
        id_[-6:],
        id_[:12] + "…",
        id_[:9] + "zz",
        made[4]["key"][:15],
        made[4]["prefix"][4:],
        "Dora",
    ):
        assert f"did you mean {id_} (dora)?" in run("keys", "revoke", "--", cut, exit_code=2)[1], cut
    assert "did you mean" not in run("keys", "revoke", "key_", exit_code=2)[1]
    assert made[4]["id"] in run("keys", "revoke", made[4]["key"])[1]
    entries = [json.loads(line) for line in run("audit", "--json")[0].splitlines()]
    assert [entry["subject"] for entry in entries if entry["action"] == "key.revoke"] == [one["id"] for one in made]


def test_the_commands_use_the_configured_database(postgres_server: PostgresServer) -> None:
    with postgres_server.fresh() as url:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("genconvnet")), "keys", "create", "ada", "--expires-days", "1"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={"PATH": "/usr/bin", "GENCONVNET_DATABASE_URL": url},
        )
        database = Database(url)
        row = keys.find(database, done.stdout.strip())
        assert row is not None
        assert row.expires_at is not None
        database.dispose()


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


def test_only_uploads_may_exceed_1_mib(api: Api) -> None:
    """JSON is read into memory and parsed in the event loop that serves all requests."""
    long = {"content": b'{"x": [' + b"[]," * 400_000 + b"[]]}", "headers": {"Content-Type": "application/json"}}
    for path in ("/v1/jobs", "/v1/webhooks", "/v1/jobs/job_x/resume"):
        problem(api.client.post(path, **long), 413)
    noise = pictures.encoded(Image.effect_noise((650, 650), 60), "PNG")
    assert api.upload(*((f"{index}.png", noise) for index in range(4))).status_code == 201
    assert 4 * len(noise) > MEBIBYTE
