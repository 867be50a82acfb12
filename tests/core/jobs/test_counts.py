"""Numbers of jobs for the metrics."""

import time

import pytest
from support import rows

from core.jobs import outcomes
from core.jobs.counts import count_jobs
from core.schemas.jobs import JobKind, JobStatus
from core.storage.database import Database


def test_every_kind_status_and_queue_has_a_number(sqlite_database: Database) -> None:
    counts = count_jobs(sqlite_database)
    assert counts.jobs == {(kind.value, status.value): 0 for kind in JobKind for status in JobStatus}
    assert counts.depth == {(kind.queue.value, kind.value): 0 for kind in JobKind}
    assert counts.oldest_seconds == {"train": 0.0, "sample": 0.0}


def test_owners_see_one_job_where_workers_see_its_shards(database: Database) -> None:
    outcomes.succeed(database, rows.claimed(database), [], rows.DONE)
    rows.claimed(database)
    for _ in range(2):
        rows.accept(database)
    rows.accept(database, rows.split(shards=3))
    counts = count_jobs(database)
    assert {name: count for name, count in counts.jobs.items() if count} == {
        ("train", "succeeded"): 1,
        ("train", "running"): 1,
        ("train", "queued"): 2,
        ("sample", "queued"): 1,
    }
    assert {name: count for name, count in counts.depth.items() if count} == {
        ("train", "train"): 2,
        ("sample", "sample"): 3,
    }


def test_the_oldest_of_a_queue_says_how_long_it_waits(database: Database) -> None:
    for kind, minutes in (("sample", 5), ("classify", 60), ("classify", 7)):
        new = rows.sample() if kind == "sample" else rows.classify()
        rows.alter(database, rows.accept(database, new), created_at=time.time() - 60 * minutes)
    counts = count_jobs(database)
    assert counts.oldest_seconds["sample"] == pytest.approx(3600, abs=60)
    assert counts.oldest_seconds["train"] == 0.0
