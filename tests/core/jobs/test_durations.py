"""How long training jobs took, as rows tell it."""

from typing import Any

import pytest
from support import rows

from core.jobs import outcomes
from core.jobs.durations import finished_trainings
from core.schemas.jobs import JobStatus
from core.storage.database import Database


def _learned(database: Database, seconds: float, done: int = 400, **values: Any) -> str:
    """Add a job of `quick` that has taken so long."""
    lease = rows.claimed(database)
    outcomes.succeed(database, lease, [], rows.DONE.model_copy(update={"iteration": done}))
    rows.alter(database, lease.job_id, **{"started_at": 1000.0, "finished_at": 1000.0 + seconds, **values})
    return lease.job_id


def test_the_latest_jobs_that_did_all_their_iterations_at_once_tell_how_long_they_took(database: Database) -> None:
    assert finished_trainings(database) == []
    _learned(database, 30.0)
    _learned(database, 40.0)
    _learned(database, 1.0, done=200)  # its pictures were steady
    _learned(database, 2.0, attempt=2)
    _learned(database, 3.0, status=JobStatus.FAILED)
    _learned(database, 4.0, preset=None)
    _learned(database, 5.0, params={**rows.PARAMS, "of_another_version": 1})
    _learned(database, 6.0, params={**rows.PARAMS, "stop_when_steady": True})
    _learned(database, 7.0, progress={})
    _learned(database, 8.0, started_at=None)
    rows.claimed(database)
    found = finished_trainings(database)
    assert [(one.preset, one.seconds) for one in found] == [("quick", 40.0), ("quick", 30.0)]
    assert found[0].params.model_dump(mode="json") == rows.PARAMS


@pytest.mark.parametrize(
    ("others", "alone"),
    [
        ([], True),
        ([(900.0, 1005.0), (1095.0, 1200.0), (1040.0, 1049.0)], True),  # for a short time
        ([(1110.0, None)], True),
        ([(1050.0, 1070.0)], False),
        ([(900.0, 1200.0)], False),
        ([(900.0, None)], False),
    ],
)
def test_a_job_during_which_another_ran_was_not_alone(
    database: Database, others: list[tuple[float, float | None]], alone: bool
) -> None:
    _learned(database, 100.0)
    for started_at, finished_at in others:
        other = rows.claimed(database)
        rows.alter(database, other.job_id, started_at=started_at, finished_at=finished_at)
    (found,) = finished_trainings(database)
    assert found.alone == alone
