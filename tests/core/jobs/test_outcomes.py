"""How a job ends, and how a worker returns one that it cannot finish."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import rows

from core.jobs import leases, outcomes, requests, running
from core.jobs.leases import JobLease
from core.jobs.outcomes import Succeeded
from core.jobs.reconciler import count_claimable, take_unnotified
from core.schemas.jobs import JobStatus, Progress, Queue
from core.storage import models
from core.storage.database import Database
from core.storage.errors import Conflict, LeaseLost


def test_succeed_writes_all_results(database: Database) -> None:
    lease = rows.claimed(database)
    model = rows.new_model()
    results = [rows.artifact(f"synthesized-{index:03d}.png") for index in range(3)]
    assert outcomes.succeed(database, lease, results, rows.DONE, metrics={"energy": 0.5}, model=model) == Succeeded(
        [], True
    )
    job = rows.row(database, lease.job_id)
    assert (job.status, job.worker, job.lease_until, job.error) == (JobStatus.SUCCEEDED, None, None, None)
    assert job.finished_at is not None
    assert job.started_at is not None
    assert job.finished_at >= job.started_at
    assert Progress.model_validate(job.progress) == rows.DONE
    assert job.metrics == {"energy": 0.5}
    assert [one.name for one in job.artifacts] == [one.name for one in results]
    assert job.model_id == model.id
    learned = models.find(database, model.id)
    assert (learned.job_id, learned.params, learned.blob) == (lease.job_id, dict(rows.PARAMS), model.stored.blob)


def test_succeed_writes_nothing_if_one_part_fails(database: Database) -> None:
    lease = rows.claimed(database)
    taken = rows.new_model()
    outcomes.succeed(database, lease, [], rows.DONE, model=taken)
    other = rows.claimed(database)
    before, counts = rows.everything(database, other.job_id), rows.count(database)
    with pytest.raises(Exception, match="models"):  # the model's id is taken
        outcomes.succeed(database, other, [rows.artifact()], rows.DONE, metrics={"energy": 0.5}, model=taken)
    assert rows.everything(database, other.job_id) == before
    assert rows.count(database) == counts


def test_fail_stores_the_error(database: Database) -> None:
    lease = rows.claimed(database)
    error = {"type": "diverged", "detail": "step size too large"}
    outcomes.fail(database, lease, error)
    job = rows.row(database, lease.job_id)
    assert (job.status, job.error, job.lease_until) == (JobStatus.FAILED, error, None)
    assert job.finished_at is not None


def test_a_job_that_kills_its_worker_three_times_fails(database: Database) -> None:
    job_id = rows.accept(database)
    for failure in range(1, leases.MAX_FAILURES + 1):
        assert outcomes.end_lost(database) == []
        outcomes.abandon(database, rows.claim(database))
        assert rows.row(database, job_id).failures == failure
    assert leases.claim(database, Queue.TRAIN, "w", rows.LONG) is None
    assert outcomes.end_lost(database) == [job_id]
    job = rows.row(database, job_id)
    assert job.status == JobStatus.FAILED
    assert job.error is not None
    assert job.error["type"] == "worker-lost"
    assert "3 tries" in job.error["detail"]
    assert outcomes.end_lost(database) == []


def test_end_lost_leaves_jobs_whose_lease_has_not_expired(database: Database) -> None:
    lease = rows.claimed(database)
    rows.alter(database, lease.job_id, failures=leases.MAX_FAILURES, cancel_requested=True)
    assert outcomes.end_lost(database) == []
    assert rows.row(database, lease.job_id).status == JobStatus.RUNNING


def test_a_checkpoint_resets_the_count_of_failures(database: Database) -> None:
    job_id = rows.accept(database)
    for _ in range(2 * leases.MAX_FAILURES):
        lease = rows.claim(database)
        running.checkpoint(database, lease, rows.stored())
        outcomes.abandon(database, lease)
        assert outcomes.end_lost(database) == []
    job = rows.row(database, job_id)
    assert (job.failures, job.attempt) == (0, 2 * leases.MAX_FAILURES)


def test_an_abandoned_job_can_be_claimed_at_once(database: Database) -> None:
    lease = rows.claimed(database)
    outcomes.abandon(database, lease)
    assert count_claimable(database, Queue.TRAIN) == 1
    assert take_unnotified(database, Queue.TRAIN, rows.LONG, 10) == [lease.job_id]
    again = rows.claim(database)
    assert (again.job_id, again.token) == (lease.job_id, lease.token + 1)


def test_a_job_abandoned_with_a_pause_waits_and_keeps_the_error(database: Database) -> None:
    job_id = rows.accept(database)
    error = {"type": "unavailable", "detail": "the store was away"}
    outcomes.abandon(database, rows.claim(database), error, wait_seconds=rows.LONG)
    assert count_claimable(database, Queue.TRAIN) == 0
    assert rows.row(database, job_id).error == error
    rows.expire(database, job_id)
    rows.claim(database)
    assert rows.row(database, job_id).error is None
    while rows.row(database, job_id).failures < leases.MAX_FAILURES:
        rows.expire(database, job_id)
        lease = rows.claim(database)
    outcomes.abandon(database, lease, error)
    assert outcomes.end_lost(database) == [job_id]
    last = rows.row(database, job_id).error
    assert last is not None
    assert last["type"] == "unavailable"
    assert "the store was away" in last["detail"]


@pytest.mark.parametrize("end", [outcomes.release, outcomes.abandon])
def test_why_an_attempt_was_abandoned_is_told_to_the_next_one_alone(
    database: Database, end: Callable[[Database, JobLease], None]
) -> None:
    """So a training that has lost a process learns with one fewer in the next attempt, and then with all again."""
    rows.accept(database)
    error = {"type": "process-lost", "detail": "process 2 of 2 was lost", "processes_left": 1}
    outcomes.abandon(database, rows.claim(database), error)
    lease = rows.claim(database)
    assert lease.last_error == error
    end(database, lease)
    assert rows.claim(database).last_error is None


def test_abandoning_a_job_that_is_not_to_blame_counts_no_failure(database: Database) -> None:
    job_id = rows.accept(database)
    for _ in range(leases.MAX_FAILURES + 2):
        outcomes.abandon(database, rows.claim(database), {"type": "unavailable", "detail": "d"}, count_failure=False)
    assert rows.row(database, job_id).failures == 0
    assert outcomes.end_lost(database) == []


def test_releasing_a_job_counts_no_failure(database: Database) -> None:
    job_id = rows.accept(database)
    for _ in range(leases.MAX_FAILURES + 2):
        outcomes.release(database, rows.claim(database))
        job = rows.row(database, job_id)
        assert (job.status, job.failures, job.worker, job.lease_until) == (JobStatus.QUEUED, 0, None, None)
    assert rows.row(database, job_id).attempt == leases.MAX_FAILURES + 2


def test_releasing_a_job_that_is_to_be_canceled_ends_it(database: Database) -> None:
    lease = rows.claimed(database)
    requests.cancel(database, lease.job_id)
    outcomes.release(database, lease)
    assert rows.row(database, lease.job_id).status == JobStatus.CANCELED


def test_end_lost_cancels_a_job_whose_worker_was_lost_before_it_could(database: Database) -> None:
    lease = rows.claimed(database)
    requests.cancel(database, lease.job_id)
    rows.expire(database, lease.job_id)
    assert leases.claim(database, Queue.TRAIN, "other", rows.LONG) is None
    assert count_claimable(database, Queue.TRAIN) == 0
    assert outcomes.end_lost(database) == [lease.job_id]
    job = rows.row(database, lease.job_id)
    assert (job.status, job.error) == (JobStatus.CANCELED, None)


def test_a_cancel_that_races_a_success_leaves_one_of_the_two(database: Database) -> None:
    for _ in range(5):
        lease = rows.claimed(database)
        actions: list[Callable[[], object]] = [
            lambda lease=lease: requests.cancel(database, lease.job_id),  # type: ignore[misc]
            lambda lease=lease: outcomes.succeed(database, lease, [rows.artifact()], rows.DONE),  # type: ignore[misc]
            lambda lease=lease: outcomes.cancel(database, lease),  # type: ignore[misc]
        ]
        with ThreadPoolExecutor(len(actions)) as pool:
            list(pool.map(_attempted, actions))
        job = rows.row(database, lease.job_id)
        assert job.status in (JobStatus.SUCCEEDED, JobStatus.CANCELED)
        assert len(job.artifacts) == (job.status == JobStatus.SUCCEEDED)


def _attempted(action: Callable[[], object]) -> bool:
    try:
        action()
    except (Conflict, LeaseLost):
        return False
    return True
