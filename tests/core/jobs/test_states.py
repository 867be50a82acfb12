"""The states of many jobs at once, for streams of events."""

import time

from support import rows
from support.keys import holder

from core.jobs import outcomes, states
from core.jobs.states import KEPT_SECONDS
from core.schemas.jobs import JobStatus
from core.storage.database import Database


def test_jobs_that_have_not_ended_or_ended_lately_are_read_in_their_order(database: Database) -> None:
    old, late = rows.claimed(database), rows.claimed(database)
    outcomes.succeed(database, old, [], rows.DONE)
    outcomes.fail(database, late, {"type": "diverged", "detail": "it did"})
    rows.alter(database, old.job_id, finished_at=time.time() - KEPT_SECONDS - 60)
    running = rows.claimed(database)
    queued = rows.accept(database)
    found = states.read(database)
    assert [(one.job_id, one.status, one.attempt) for one in found.states] == [
        (late.job_id, JobStatus.FAILED, 1),
        (running.job_id, JobStatus.RUNNING, 1),
        (queued, JobStatus.QUEUED, 0),
    ]
    assert [(one.error or {}).get("type") for one in found.states] == ["diverged", None, None]
    assert [one.finished_at is not None for one in found.states] == [True, False, False]
    assert abs(found.at - time.time()) < 600
    since = time.time() - KEPT_SECONDS - 120
    assert [one.job_id for one in states.read(database, since).states][:2] == [old.job_id, late.job_id]


def test_a_split_job_is_one_and_a_key_sees_its_own(database: Database) -> None:
    split = rows.accept(database, rows.split(shards=3))
    own = holder(database, "ada").database
    mine = rows.accept(own)
    assert [one.job_id for one in states.read(database).states] == [split, mine]
    (one,) = states.read(own).states
    assert one.job_id == mine
    assert one.owner is not None
