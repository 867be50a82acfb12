"""The database's clock is set by an hour, which is what moving all that it wrote by an hour the other way is."""

import pytest
from sqlalchemy import update
from support import rows

from core.jobs import leases, outcomes
from core.jobs.reconciler import take_unnotified
from core.schemas.jobs import JobStatus, Queue
from core.storage.database import Database
from core.storage.errors import LeaseLost
from core.storage.tables import Job

HOUR = 3600.0


@pytest.fixture(params=[HOUR, -HOUR], ids=["set back", "set forward"])
def moved(request: pytest.FixtureRequest) -> float:
    """By how many seconds what was written has moved."""
    seconds: float = request.param
    return seconds


def _move(database: Database, seconds: float) -> None:
    times = (Job.created_at, Job.started_at, Job.leased_at, Job.lease_until, Job.notified_at)
    with database.write() as session:
        session.execute(update(Job).values({column.key: column + seconds for column in times}))


def test_a_lost_workers_job_goes_to_another_at_once_and_no_strike_more(database: Database, moved: float) -> None:
    held = rows.claimed(database)
    _move(database, moved)
    again = rows.claim(database, worker="other")
    assert (again.job_id, again.attempt) == (held.job_id, 2)
    with pytest.raises(LeaseLost):
        outcomes.succeed(database, held, [], rows.DONE)
    outcomes.succeed(database, again, [], rows.DONE)
    assert rows.row(database, held.job_id).status == JobStatus.SUCCEEDED


def test_a_living_worker_that_renews_first_keeps_its_job(database: Database, moved: float) -> None:
    held = rows.claimed(database)
    _move(database, moved)
    leases.renew(database, held, rows.LONG)
    assert leases.claim(database, Queue.TRAIN, "other", rows.LONG) is None
    outcomes.succeed(database, held, [], rows.DONE)


def test_a_job_that_waits_is_rung_for_again(database: Database, moved: float) -> None:
    job_id = rows.accept(database)
    assert take_unnotified(database, Queue.TRAIN, rows.LONG, 10) == [job_id]
    _move(database, moved)
    assert take_unnotified(database, Queue.TRAIN, rows.LONG, 10) == [job_id]
    assert rows.claim(database).job_id == job_id


def test_a_job_that_is_kept_back_for_a_while_is_not_kept_for_an_hour(database: Database, moved: float) -> None:
    held = rows.claimed(database)
    outcomes.abandon(database, held, {"type": "unavailable", "detail": "away"}, wait_seconds=rows.LONG)
    _move(database, moved)
    assert rows.claim(database).job_id == held.job_id
