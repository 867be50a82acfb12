"""The database's clock is set back or forward by an hour.

The tests move all times in the database by an hour the other way, which has the same effect.
"""

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
    """The number of seconds that are added to all times in the database."""
    seconds: float = request.param
    return seconds


def _move(database: Database, seconds: float) -> None:
    times = (Job.created_at, Job.started_at, Job.leased_at, Job.lease_until, Job.notified_at)
    with database.write() as session:
        session.execute(update(Job).values({column.key: column + seconds for column in times}))


def test_a_job_whose_lease_is_not_renewed_can_be_claimed_by_another_worker(database: Database, moved: float) -> None:
    lease = rows.claimed(database)
    _move(database, moved)
    again = rows.claim(database, worker="other")
    assert (again.job_id, again.attempt) == (lease.job_id, 2)
    with pytest.raises(LeaseLost):
        outcomes.succeed(database, lease, [], rows.DONE)
    outcomes.succeed(database, again, [], rows.DONE)
    assert rows.row(database, lease.job_id).status == JobStatus.SUCCEEDED


def test_a_worker_that_renews_its_lease_first_keeps_its_job(database: Database, moved: float) -> None:
    lease = rows.claimed(database)
    _move(database, moved)
    leases.renew(database, lease, rows.LONG)
    assert leases.claim(database, Queue.TRAIN, "other", rows.LONG) is None
    outcomes.succeed(database, lease, [], rows.DONE)


def test_a_queued_job_is_notified_again(database: Database, moved: float) -> None:
    job_id = rows.accept(database)
    assert take_unnotified(database, Queue.TRAIN, rows.LONG, 10) == [job_id]
    _move(database, moved)
    assert take_unnotified(database, Queue.TRAIN, rows.LONG, 10) == [job_id]
    assert rows.claim(database).job_id == job_id


def test_a_job_that_was_abandoned_for_a_minute_can_be_claimed_at_once(database: Database, moved: float) -> None:
    lease = rows.claimed(database)
    outcomes.abandon(database, lease, {"type": "unavailable", "detail": "away"}, wait_seconds=rows.LONG)
    _move(database, moved)
    assert rows.claim(database).job_id == lease.job_id
