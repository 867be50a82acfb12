"""GET /v1/jobs/{id}/events: replay, and a `done` that is sent even if the broker has lost events."""

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
class ReceivedEvent:
    id: str
    name: str
    data: Any


def _listen(
    api: Api, job_id: str, after: str | None = None, found: list[ReceivedEvent] | None = None
) -> list[ReceivedEvent]:
    """Return all events until the stream ends by itself; each is appended to `found` as it comes."""
    headers = {} if after is None else {"Last-Event-ID": after}
    found = [] if found is None else found
    with httpx.stream(
        "GET", f"{api.client.base_url}/v1/jobs/{job_id}/events", headers=headers, timeout=PATIENCE_SECONDS, verify=False
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        current: dict[str, str] = {}
        for line in answer.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                current[name] = value
            elif not line and "data" in current:
                found.append(ReceivedEvent(current["id"], current["event"], json.loads(current["data"])))
                current = {}
    return found


def _finished_job(api: Api, valkey: Valkey, count: int = 3) -> str:
    """The id of a succeeded job whose events have all been published."""
    lease = rows.claimed(api.database)
    with valkey.client() as redis:
        for iteration in range(count):
            events.publish(redis, lease.job_id, "progress", {"iteration": iteration})
        outcomes.succeed(api.database, lease, [], rows.DONE)
        events.publish(redis, lease.job_id, "done", {"status": "succeeded"})
    return lease.job_id


def test_all_events_are_sent_and_the_stream_ends(each_api: Api, valkey: Valkey) -> None:
    received = _listen(each_api, _finished_job(each_api, valkey))
    assert [one.name for one in received] == ["progress"] * 3 + ["done"]
    assert [one.data.get("iteration") for one in received[:3]] == [0, 1, 2]
    assert received[-1].data == {"status": "succeeded"}
    assert len({one.id for one in received}) == 4


def test_events_after_last_event_id_are_replayed(api: Api, valkey: Valkey) -> None:
    job_id = _finished_job(api, valkey)
    received = _listen(api, job_id)
    assert _listen(api, job_id, received[1].id) == received[2:]


def test_done_is_sent_even_if_the_broker_lost_the_stream(each_api: Api, valkey: Valkey) -> None:
    job_id = _finished_job(each_api, valkey)
    last = _listen(each_api, job_id)[-1].id
    valkey.flush()
    began = time.monotonic()
    (done,) = _listen(each_api, job_id)
    assert (done.name, done.data) == ("done", {"status": "succeeded"})
    (again,) = _listen(each_api, job_id, last.partition(".")[0])
    assert (again.name, again.data) == ("done", {"status": "succeeded"})
    assert time.monotonic() - began < 3  # it does not wait for events that cannot come


def test_done_of_a_failed_job_has_its_error(api: Api) -> None:
    lease = rows.claimed(api.database)
    error = {"type": "diverged", "detail": "the chains diverged"}
    outcomes.fail(api.database, lease, error)
    (done,) = _listen(api, lease.job_id)
    assert done.data == {"status": "failed", "error": error}


def test_events_are_sent_as_they_happen(api: Api, valkey: Valkey) -> None:
    lease = rows.claimed(api.database)
    received: list[ReceivedEvent] = []
    listener = threading.Thread(target=_listen, args=(api, lease.job_id, None, received))
    listener.start()
    with valkey.client() as redis:
        for iteration in range(3):
            events.publish(redis, lease.job_id, "progress", {"iteration": iteration})
            until(lambda expected=iteration + 1: len(received) == expected)
        outcomes.succeed(api.database, lease, [], rows.DONE)
        events.publish(redis, lease.job_id, "done", {"status": "succeeded"})
    listener.join(PATIENCE_SECONDS)
    assert [one.name for one in received] == ["progress"] * 3 + ["done"]


def test_canceling_a_queued_job_sends_done(api: Api) -> None:
    job_id = rows.accept(api.database)
    api.client.post(f"/v1/jobs/{job_id}/cancel")
    assert [(one.name, one.data) for one in _listen(api, job_id)] == [("done", {"status": "canceled"})]


def test_a_resumed_job_sends_further_events(api: Api) -> None:
    job_id = rows.accept(api.database)
    api.client.post(f"/v1/jobs/{job_id}/cancel")
    api.client.post(f"/v1/jobs/{job_id}/resume")
    api.client.post(f"/v1/jobs/{job_id}/cancel")
    names = [(one.name, one.data["status"]) for one in _listen(api, job_id)]
    assert names == [("done", "canceled"), ("status", "queued"), ("done", "canceled")]


@pytest.mark.parametrize("after", ["x", "1-", "-1", "1-2-3", "9" * 20, "1-1.", "1.x", ".5", "1" * 80])
def test_an_invalid_last_event_id_is_refused(api: Api, after: str) -> None:
    job_id = rows.accept(api.database)
    assert fields(api.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": after})) == ["last-event-id"]


def test_the_events_of_an_unknown_job_are_not_found(each_api: Api) -> None:
    problem(each_api.client.get("/v1/jobs/none/events"), 404)


def test_a_client_that_has_received_the_end_gets_204(api: Api, valkey: Valkey) -> None:
    job_id = _finished_job(api, valkey)
    last = _listen(api, job_id)[-1].id
    assert _get(api, job_id, last).status_code == 204
    valkey.flush()
    assert _get(api, job_id, last).status_code == 204
    api.client.post(f"/v1/jobs/{job_id}/resume", json={"params": {"iterations": 100_000}}).raise_for_status()
    api.client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    assert [one.data["status"] for one in _listen(api, job_id, last)] == ["queued", "canceled"]


def test_events_after_the_end_are_not_sent_and_done_is_sent_once(api: Api, valkey: Valkey) -> None:
    job_id = _finished_job(api, valkey)
    with valkey.client() as redis:
        events.publish(redis, job_id, "progress", {"iteration": 99})  # a shard may not know yet that another has failed
        events.publish(redis, job_id, "done", {"status": "succeeded"})
    assert [one.name for one in _listen(api, job_id)] == ["progress"] * 3 + ["done"]


def test_a_last_event_id_from_before_the_broker_was_wiped_misses_nothing(api: Api, valkey: Valkey) -> None:
    lease = rows.claimed(api.database)
    received: list[ReceivedEvent] = []
    listener = threading.Thread(target=_listen, args=(api, lease.job_id, "9999999999999-5", received))
    with valkey.client() as redis:
        events.publish(redis, lease.job_id, "progress", {"iteration": 0})
        listener.start()
        until(lambda: len(received) == 1)
        events.publish(redis, lease.job_id, "progress", {"iteration": 1})
        outcomes.succeed(api.database, lease, [], rows.DONE)
        events.publish(redis, lease.job_id, "done", {"status": "succeeded"})
    listener.join(PATIENCE_SECONDS)
    assert [(one.name, one.data.get("iteration")) for one in received] == [
        ("progress", 0),
        ("progress", 1),
        ("done", None),
    ]
    assert len({one.id for one in received}) == 3


def test_many_streams_receive_the_same_events_over_one_broker_connection(api: Api, valkey: Valkey) -> None:
    lease = rows.claimed(api.database)
    received: list[list[ReceivedEvent]] = []
    listeners = [threading.Thread(target=lambda: received.append(_listen(api, lease.job_id))) for _ in range(40)]
    with valkey.client() as redis:

        def blocked_readers() -> int:
            return sum("b" in one["flags"] for one in redis.client_list())

        for number, listener in enumerate(listeners):
            listener.start()
            events.publish(redis, lease.job_id, "progress", {"iteration": number})
            assert blocked_readers() <= 1
        until(lambda: blocked_readers() == 1)
        outcomes.succeed(api.database, lease, [], rows.DONE)
        events.publish(redis, lease.job_id, "done", {"status": "succeeded"})
    for listener in listeners:
        listener.join(PATIENCE_SECONDS)
    assert len(received) == 40
    assert all(one == received[0] for one in received)
    assert [one.data.get("iteration") for one in received[0]] == [*range(40), None]


def test_a_stream_continues_after_a_restart_of_the_api(own_api: Api, own_valkey: Valkey) -> None:
    lease = rows.claimed(own_api.database)
    with own_valkey.client() as redis:
        for iteration in range(3):
            events.publish(redis, lease.job_id, "progress", {"iteration": iteration})
        before: list[ReceivedEvent] = []
        open_stream = threading.Thread(target=_listen, args=(own_api, lease.job_id, None, before))
        open_stream.start()
        until(lambda: len(before) == 3)
        own_api.process.terminate()
        own_api.process.wait(PATIENCE_SECONDS)
        open_stream.join(PATIENCE_SECONDS)
        assert "graceful shutdown exceeded" not in own_api.log.read_text(), "an open stream delays the stop"
        assert [one.data["iteration"] for one in before] == [0, 1, 2]
        again = Api(own_api.data_dir.parent, own_valkey.url, str(own_api.database.engine.url))
        outcomes.succeed(again.database, lease, [], rows.DONE)
        events.publish(redis, lease.job_id, "done", {"status": "succeeded"})
        assert [one.data.get("iteration") for one in _listen(again, lease.job_id, before[1].id)] == [2, None]
        again.stop()


def test_a_broker_that_does_not_answer_delays_no_request(tmp_path: Path, sqlite_template: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        api = Api(tmp_path, url, f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'rows.sqlite3')}")
        job_id = rows.accept(api.database)
        answer = api.client.post(f"/v1/jobs/{job_id}/cancel", timeout=9)  # less than the timeout of the broker, 10 s
        assert answer.json()["status"] == "canceled"
        api.process.kill()
        api.stop()


def _get(api: Api, job_id: str, after: str) -> httpx.Response:
    return api.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": after})


def test_deleting_a_job_ends_its_stream(api: Api, valkey: Valkey) -> None:
    job_id = rows.accept(api.database)
    received: list[ReceivedEvent] = []
    listener = threading.Thread(target=_listen, args=(api, job_id, None, received))
    with valkey.client() as redis:
        events.publish(redis, job_id, "status", {"status": "queued"})
        listener.start()
        until(lambda: len(received) == 1)
        requests.cancel(api.database, job_id)
        requests.delete(api.database, job_id)
        events.publish(redis, job_id, "done", {"status": "canceled"})
    listener.join(PATIENCE_SECONDS)
    assert not listener.is_alive()
    assert len(received) == 1


def test_without_the_broker_done_is_read_from_the_row(own_api: Api, own_valkey: Valkey) -> None:
    lease = rows.claimed(own_api.database)
    outcomes.succeed(own_api.database, lease, [], rows.DONE)
    own_valkey.stop()
    assert [one.name for one in _listen(own_api, lease.job_id)] == ["done"]
