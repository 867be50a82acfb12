"""Server-sent events: replay, and an end that is told whatever was lost."""

import json
import shutil
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import rows
from support.http import Api, fields, problem
from support.valkey import Valkey
from support.waiting import PATIENCE_SECONDS, until

from core.broker import events
from core.jobs import outcomes, requests


@dataclass
class Heard:
    id: str
    name: str
    data: Any


def _listen(api: Api, job_id: str, after: str | None = None, found: list[Heard] | None = None) -> list[Heard]:
    """All events until the stream ends by itself; they are added to `found` as they come."""
    headers = {} if after is None else {"Last-Event-ID": after}
    found = [] if found is None else found
    with httpx.stream(
        "GET", f"{api.client.base_url}/v1/jobs/{job_id}/events", headers=headers, timeout=PATIENCE_SECONDS
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        current: dict[str, str] = {}
        for line in answer.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                current[name] = value
            elif not line and "data" in current:
                found.append(Heard(current["id"], current["event"], json.loads(current["data"])))
                current = {}
    return found


def _told(api: Api, valkey: Valkey, count: int = 3) -> str:
    """A job that is done, of which everything was told."""
    held = rows.claimed(api.database)
    with valkey.client() as redis:
        for iteration in range(count):
            events.tell(redis, held.job_id, "progress", {"iteration": iteration})
        outcomes.succeed(api.database, held, [], rows.DONE)
        events.tell(redis, held.job_id, "done", {"status": "succeeded"})
    return held.job_id


def test_everything_is_told_and_the_stream_ends(each_api: Api, valkey: Valkey) -> None:
    heard = _listen(each_api, _told(each_api, valkey))
    assert [one.name for one in heard] == ["progress"] * 3 + ["done"]
    assert [one.data.get("iteration") for one in heard[:3]] == [0, 1, 2]
    assert heard[-1].data == {"status": "succeeded"}
    assert len({one.id for one in heard}) == 4


def test_what_came_after_an_id_is_replayed(api: Api, valkey: Valkey) -> None:
    job_id = _told(api, valkey)
    heard = _listen(api, job_id)
    assert _listen(api, job_id, heard[1].id) == heard[2:]


def test_a_job_that_ended_unheard_gets_its_done(each_api: Api, valkey: Valkey) -> None:
    job_id = _told(each_api, valkey)
    last = _listen(each_api, job_id)[-1].id
    valkey.flush()
    began = time.monotonic()
    (done,) = _listen(each_api, job_id)
    assert (done.name, done.data) == ("done", {"status": "succeeded"})
    (again,) = _listen(each_api, job_id, last.partition(".")[0])
    assert (again.name, again.data) == ("done", {"status": "succeeded"})
    assert time.monotonic() - began < 3  # nobody waits for what cannot come


def test_a_failed_job_tells_why(api: Api) -> None:
    held = rows.claimed(api.database)
    error = {"type": "diverged", "detail": "the chains diverged"}
    outcomes.fail(api.database, held, error)
    (done,) = _listen(api, held.job_id)
    assert done.data == {"status": "failed", "error": error}


def test_news_come_as_they_happen(api: Api, valkey: Valkey) -> None:
    held = rows.claimed(api.database)
    heard: list[Heard] = []
    listener = threading.Thread(target=lambda: heard.extend(_listen(api, held.job_id)))
    listener.start()
    with valkey.client() as redis:
        for iteration in range(3):
            time.sleep(0.1)
            events.tell(redis, held.job_id, "progress", {"iteration": iteration})
        outcomes.succeed(api.database, held, [], rows.DONE)
        events.tell(redis, held.job_id, "done", {"status": "succeeded"})
    listener.join(PATIENCE_SECONDS)
    assert [one.name for one in heard] == ["progress"] * 3 + ["done"]


def test_a_queued_job_that_is_canceled_is_told(api: Api) -> None:
    job_id = rows.accept(api.database)
    api.client.post(f"/v1/jobs/{job_id}/cancel")
    assert [(one.name, one.data) for one in _listen(api, job_id)] == [("done", {"status": "canceled"})]


def test_a_resumed_job_goes_on_telling(api: Api) -> None:
    job_id = rows.accept(api.database)
    api.client.post(f"/v1/jobs/{job_id}/cancel")
    api.client.post(f"/v1/jobs/{job_id}/resume")
    api.client.post(f"/v1/jobs/{job_id}/cancel")
    names = [(one.name, one.data["status"]) for one in _listen(api, job_id)]
    assert names == [("done", "canceled"), ("status", "queued"), ("done", "canceled")]


@pytest.mark.parametrize("after", ["x", "1-", "-1", "1-2-3", "9" * 20, "1-1.", "1.x", ".5", "1" * 80])
def test_an_id_that_is_none_is_refused(api: Api, after: str) -> None:
    job_id = rows.accept(api.database)
    assert fields(api.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": after})) == ["last-event-id"]


def test_an_unknown_job_has_no_news(each_api: Api) -> None:
    problem(each_api.client.get("/v1/jobs/none/events"), 404)


def test_who_heard_the_end_is_told_not_to_come_back(api: Api, valkey: Valkey) -> None:
    job_id = _told(api, valkey)
    last = _listen(api, job_id)[-1].id
    assert _get(api, job_id, last).status_code == 204
    valkey.flush()
    assert _get(api, job_id, last).status_code == 204
    api.client.post(f"/v1/jobs/{job_id}/resume", json={"params": {"iterations": 100_000}}).raise_for_status()
    api.client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    assert [one.data["status"] for one in _listen(api, job_id, last)] == ["queued", "canceled"]


def test_what_a_worker_says_after_the_end_is_not_told_and_the_end_is_told_once(api: Api, valkey: Valkey) -> None:
    job_id = _told(api, valkey)
    with valkey.client() as redis:
        events.tell(redis, job_id, "progress", {"iteration": 99})  # as a shard, not knowing that another has failed
        events.tell(redis, job_id, "done", {"status": "succeeded"})
    assert [one.name for one in _listen(api, job_id)] == ["progress"] * 3 + ["done"]


def test_an_id_from_before_the_broker_was_wiped_misses_nothing(api: Api, valkey: Valkey) -> None:
    held = rows.claimed(api.database)
    heard: list[Heard] = []
    listener = threading.Thread(target=_listen, args=(api, held.job_id, "9999999999999-5", heard))
    with valkey.client() as redis:
        events.tell(redis, held.job_id, "progress", {"iteration": 0})
        listener.start()
        until(lambda: len(heard) == 1)
        events.tell(redis, held.job_id, "progress", {"iteration": 1})
        outcomes.succeed(api.database, held, [], rows.DONE)
        events.tell(redis, held.job_id, "done", {"status": "succeeded"})
    listener.join(PATIENCE_SECONDS)
    assert [(one.name, one.data.get("iteration")) for one in heard] == [
        ("progress", 0),
        ("progress", 1),
        ("done", None),
    ]
    assert len({one.id for one in heard}) == 3


def test_dozens_of_streams_hear_the_same_over_one_connection(api: Api, valkey: Valkey) -> None:
    held = rows.claimed(api.database)
    heard: list[list[Heard]] = []
    listeners = [threading.Thread(target=lambda: heard.append(_listen(api, held.job_id))) for _ in range(40)]
    with valkey.client() as redis:

        def waiting() -> int:
            return sum("b" in one["flags"] for one in redis.client_list())

        for number, listener in enumerate(listeners):
            listener.start()
            events.tell(redis, held.job_id, "progress", {"iteration": number})
            assert waiting() <= 1
        until(lambda: waiting() == 1)
        outcomes.succeed(api.database, held, [], rows.DONE)
        events.tell(redis, held.job_id, "done", {"status": "succeeded"})
    for listener in listeners:
        listener.join(PATIENCE_SECONDS)
    assert len(heard) == 40
    assert all(one == heard[0] for one in heard)
    assert [one.data.get("iteration") for one in heard[0]] == [*range(40), None]


def test_news_goes_on_after_the_api_was_started_again(own_api: Api, own_valkey: Valkey) -> None:
    held = rows.claimed(own_api.database)
    with own_valkey.client() as redis:
        for iteration in range(3):
            events.tell(redis, held.job_id, "progress", {"iteration": iteration})
        early: list[Heard] = []
        open_stream = threading.Thread(target=_listen, args=(own_api, held.job_id, None, early))
        open_stream.start()
        until(lambda: len(early) == 3)
        own_api.process.terminate()
        own_api.process.wait(PATIENCE_SECONDS)
        open_stream.join(PATIENCE_SECONDS)
        assert "graceful shutdown exceeded" not in own_api.log.read_text(), "a stream does not hold it up"
        assert [one.data["iteration"] for one in early] == [0, 1, 2]
        again = Api(own_api.data_dir.parent, own_valkey.url, str(own_api.database.engine.url))
        outcomes.succeed(again.database, held, [], rows.DONE)
        events.tell(redis, held.job_id, "done", {"status": "succeeded"})
        assert [one.data.get("iteration") for one in _listen(again, held.job_id, early[1].id)] == [2, None]
        again.stop()


def test_a_broker_that_does_not_answer_holds_up_no_request(tmp_path: Path, sqlite_template: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        api = Api(tmp_path, url, f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'rows.sqlite3')}")
        job_id = rows.accept(api.database)
        answer = api.client.post(f"/v1/jobs/{job_id}/cancel", timeout=9)  # the broker is given 10 s, and more tries
        assert answer.json()["status"] == "canceled"
        api.process.kill()
        api.stop()


def _get(api: Api, job_id: str, after: str) -> httpx.Response:
    return api.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": after})


def test_the_stream_of_a_job_that_is_deleted_ends(api: Api, valkey: Valkey) -> None:
    job_id = rows.accept(api.database)
    heard: list[Heard] = []
    listener = threading.Thread(target=_listen, args=(api, job_id, None, heard))
    with valkey.client() as redis:
        events.tell(redis, job_id, "status", {"status": "queued"})
        listener.start()
        until(lambda: len(heard) == 1)
        requests.cancel(api.database, job_id)
        requests.delete(api.database, job_id)
        events.tell(redis, job_id, "done", {"status": "canceled"})
    listener.join(PATIENCE_SECONDS)
    assert not listener.is_alive()
    assert len(heard) == 1


def test_while_the_broker_is_away_the_rows_tell(own_api: Api, own_valkey: Valkey) -> None:
    held = rows.claimed(own_api.database)
    outcomes.succeed(own_api.database, held, [], rows.DONE)
    own_valkey.stop()
    assert [one.name for one in _listen(own_api, held.job_id)] == ["done"]
