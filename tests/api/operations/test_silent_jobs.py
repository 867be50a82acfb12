"""Those who follow a job are told that its worker is silent (api/operations/silent_jobs.py)."""

import json
from typing import Any

import pytest
from redis import Redis
from sqlalchemy.exc import OperationalError
from support import rows
from support.feed import open_feed
from support.http import Api

from api.operations.silent_jobs import SilentJobsReporter
from core.jobs import leases, outcomes, requests, running
from core.jobs.leases import JobLease
from core.storage.database import Database

HEARTBEAT = 60.0


def _claimed(database: Database) -> JobLease:
    """Return the lease of a job that is at iteration 3, with a time left."""
    lease = rows.claimed(database)
    running.record(database, lease, rows.DONE.model_copy(update={"iteration": 3, "eta_seconds": 40.0}))
    return lease


def _events(redis: Redis, lease: JobLease) -> list[tuple[bytes, Any]]:
    """Return the job's events: the name and the data of each."""
    entries: Any = redis.xrange(f"genconvnet:events:{lease.job_id}")
    return [(fields[b"name"], json.loads(fields[b"data"])) for _, fields in entries]


def test_one_event_tells_of_each_silence_and_one_of_its_end(sqlite_database: Database, redis: Redis) -> None:
    both = lease, other = _claimed(sqlite_database), _claimed(sqlite_database)
    reporter = SilentJobsReporter(sqlite_database, redis, HEARTBEAT)

    def report() -> list[int]:
        """Return how many events there are of each job after another report."""
        reporter.report()
        return [len(_events(redis, one)) for one in both]

    assert report() == [0, 0]
    rows.silence(sqlite_database, lease.job_id)
    assert report() == report() == [1, 0]
    leases.renew(sqlite_database, lease, rows.LONG)
    assert report() == report() == [2, 0]
    for one in both:
        rows.silence(sqlite_database, one.job_id)
    assert report() == [3, 1]
    found = [
        (name, data["iteration"], data["eta_seconds"], data["silent"])
        for name, data in (*_events(redis, lease), *_events(redis, other))
    ]
    silent, heard = (b"progress", 3, None, True), (b"progress", 3, 40.0, False)
    assert found == [silent, heard, silent, silent]


def test_of_a_job_that_has_ended_nothing_is_told(sqlite_database: Database, redis: Redis) -> None:
    lease = _claimed(sqlite_database)
    rows.silence(sqlite_database, lease.job_id)
    reporter = SilentJobsReporter(sqlite_database, redis, HEARTBEAT)
    reporter.report()
    outcomes.succeed(sqlite_database, lease, [], rows.DONE)
    reporter.report()
    assert len(_events(redis, lease)) == 1


def test_a_silence_that_could_not_be_told_is_told_at_the_next_look(
    sqlite_database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = _claimed(sqlite_database)
    rows.silence(sqlite_database, lease.job_id)
    reporter = SilentJobsReporter(sqlite_database, redis, HEARTBEAT)

    def away(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("the database is locked"))

    with monkeypatch.context() as patched:
        patched.setattr(requests, "find_several", away)
        with pytest.raises(OperationalError):
            reporter.report()
    reporter.report()
    assert len(_events(redis, lease)) == 1


def test_a_running_service_tells_it_and_shows_it(api: Api) -> None:
    lease = _claimed(api.database)
    with open_feed(api) as feed:
        feed.take(1)
        rows.silence(api.database, lease.job_id)
        (event,) = feed.take(1)
    assert (event.name, event.data["job_id"], event.data["silent"]) == ("progress", lease.job_id, True)
    shown = api.client.get(f"/v1/jobs/{lease.job_id}").json()["progress"]
    assert (shown["iteration"], shown["eta_seconds"], shown["silent"]) == (3, None, True)
