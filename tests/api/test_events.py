"""Server-sent events: replay, and an end that is told whatever was lost."""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from support import rows
from support.http import Api, fields, problem
from support.valkey import Valkey

from core.broker import events
from core.store import leases


@dataclass
class Heard:
    id: str
    name: str
    data: Any


def _listen(api: Api, job_id: str, after: str | None = None) -> list[Heard]:
    """All events until the stream ends by itself."""
    headers = {} if after is None else {"Last-Event-ID": after}
    found: list[Heard] = []
    with httpx.stream("GET", f"{api.client.base_url}/v1/jobs/{job_id}/events", headers=headers, timeout=20) as answer:
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
        leases.succeed(api.database, held, [], rows.DONE)
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
    (again,) = _listen(each_api, job_id, last)
    assert (again.name, again.data) == ("done", {"status": "succeeded"})
    assert time.monotonic() - began < 3  # nobody waits for what cannot come


def test_a_failed_job_tells_why(api: Api) -> None:
    held = rows.claimed(api.database)
    error = {"type": "diverged", "detail": "the chains diverged"}
    leases.fail(api.database, held, error)
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
        leases.succeed(api.database, held, [], rows.DONE)
        events.tell(redis, held.job_id, "done", {"status": "succeeded"})
    listener.join(timeout=15)
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


@pytest.mark.parametrize("after", ["x", "1-", "-1", "1-2-3", "9" * 20])
def test_an_id_that_is_none_is_refused(api: Api, after: str) -> None:
    job_id = rows.accept(api.database)
    assert fields(api.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": after})) == ["last-event-id"]


def test_an_unknown_job_has_no_news(each_api: Api) -> None:
    problem(each_api.client.get("/v1/jobs/none/events"), 404)


def test_while_the_broker_is_away_the_rows_tell(own_api: Api, own_valkey: Valkey) -> None:
    held = rows.claimed(own_api.database)
    leases.succeed(own_api.database, held, [], rows.DONE)
    own_valkey.stop()
    assert [one.name for one in _listen(own_api, held.job_id)] == ["done"]
