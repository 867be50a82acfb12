"""A worker whose lease was superseded, or whose job has ended, can write nothing."""

from collections.abc import Callable

import pytest
from support import rows

from core.jobs import leases, outcomes, requests, running
from core.jobs.leases import JobLease
from core.schemas.jobs import JobStatus
from core.storage.database import Database
from core.storage.errors import LeaseLost

# Every function with which a worker writes.
WRITES: dict[str, Callable[[Database, JobLease], object]] = {
    "begin": running.begin,
    "renew": lambda database, lease: leases.renew(database, lease, rows.LONG),
    "record": lambda database, lease: running.record(database, lease, rows.DONE, [(1, {"energy": 1.0})]),
    "set_metrics": lambda database, lease: running.set_metrics(database, lease, {"precision": "float32"}),
    "publish": lambda database, lease: running.publish(database, lease, rows.artifact()),
    "checkpoint": lambda database, lease: running.checkpoint(database, lease, rows.stored()),
    "succeed": lambda database, lease: outcomes.succeed(
        database, lease, [rows.artifact()], rows.DONE, metrics={"energy": 2.0}, model=rows.new_model()
    ),
    "fail": lambda database, lease: outcomes.fail(database, lease, {"type": "late", "detail": "too late"}),
    "cancel": outcomes.cancel,
    "release": outcomes.release,
    "abandon": outcomes.abandon,
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())


def test_every_function_with_which_a_worker_writes_is_tested_here() -> None:
    others = {
        "claim",
        "find_silent",
        "has_expired",
        "is_valid",
        "is_leased",
        "is_silent",
        "is_worked_on",
        "lock_leased",
        "claimable",
        "lost",
        "end_lost",
        "end",
        "of_any_queue",
    }
    functions = {
        name
        for module in (leases, running, outcomes)
        for name, found in vars(module).items()
        if getattr(found, "__module__", "") == module.__name__ and name[0].islower()
    }
    assert functions == {*WRITES, *others}


@every_write
def test_an_old_token_writes_nothing(database: Database, write: Callable[[Database, JobLease], object]) -> None:
    old = rows.claimed(database)
    rows.expire(database, old.job_id)
    new = rows.claim(database, worker="other")
    running.publish(database, new, rows.artifact())
    before, counts = rows.everything(database, old.job_id), rows.count(database)
    with pytest.raises(LeaseLost):
        write(database, old)
    assert rows.everything(database, old.job_id) == before
    assert rows.count(database) == counts


@every_write
@pytest.mark.parametrize("end", ["succeeded", "failed", "canceled", "released", "deleted"])
def test_a_worker_writes_nothing_after_the_end(
    sqlite_database: Database, write: Callable[[Database, JobLease], object], end: str
) -> None:
    lease = rows.claimed(sqlite_database)
    if end == "succeeded":
        outcomes.succeed(sqlite_database, lease, [], rows.DONE)
    elif end == "released":
        outcomes.release(sqlite_database, lease)
    else:
        outcomes.fail(sqlite_database, lease, {"type": "t", "detail": "d"})
    if end == "canceled":
        rows.alter(sqlite_database, lease.job_id, status=JobStatus.CANCELED)
    if end == "deleted":
        requests.delete(sqlite_database, lease.job_id)
        assert rows.accept(sqlite_database) != lease.job_id  # SQLite may give its number to this one
    counts = rows.count(sqlite_database)
    with pytest.raises(LeaseLost):
        write(sqlite_database, lease)
    assert rows.count(sqlite_database) == counts
