"""A job has at most one worker at a time, and its lease decides which."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import update
from support import rows
from support.waiting import until

from core.jobs import leases, outcomes, requests, running
from core.jobs.leases import JobLease, StopReason
from core.schemas.jobs import JobStatus, Queue
from core.storage.database import Database
from core.storage.errors import Conflict
from core.storage.tables import Job

RACERS = 4


def test_jobs_are_claimed_in_the_order_they_were_accepted(database: Database) -> None:
    accepted = [rows.accept(database) for _ in range(5)]
    assert [rows.claim(database).job_id for _ in accepted] == accepted
    assert leases.claim(database, Queue.TRAIN, "w", rows.LONG) is None


def test_the_higher_priority_is_claimed_first_and_the_older_job_among_equals(database: Database) -> None:
    accepted = [rows.accept(database, replace(rows.train(), priority=priority)) for priority in (0, -3, 5, 0, 5)]
    expected = [accepted[index] for index in (2, 4, 0, 3, 1)]
    found = [rows.row(database, job_id) for job_id in accepted]
    assert requests.queue_positions(database, found) == {
        job_id: place for place, job_id in enumerate(expected, start=1)
    }
    assert [rows.claim(database).job_id for _ in accepted] == expected


def test_a_lease_carries_what_the_work_needs(database: Database) -> None:
    dataset = rows.add_dataset(database)
    job_id = rows.accept(database, rows.train(dataset.id))
    lease = rows.claim(database, worker="w1")
    assert (lease.job_id, lease.kind, lease.params, lease.dataset_id) == (
        job_id,
        "train",
        dict(rows.PARAMS),
        dataset.id,
    )
    assert (lease.token, lease.attempt, lease.checkpoint) == (1, 1, None)
    job = rows.row(database, job_id)
    assert (job.status, job.worker, job.failures) == (JobStatus.RUNNING, "w1", 1)
    assert job.started_at is not None
    assert job.lease_until == pytest.approx(job.started_at + rows.LONG, abs=5)


def test_a_worker_claims_only_from_its_own_queue(database: Database) -> None:
    model_id = rows.add_model(database)
    train, sample = rows.accept(database), rows.accept(database, rows.sample(model_id))
    assert rows.claim(database, Queue.SAMPLE).job_id == sample
    assert leases.claim(database, Queue.SAMPLE, "w", rows.LONG) is None
    assert rows.claim(database, Queue.TRAIN).job_id == train


def test_a_leased_job_cannot_be_claimed(database: Database) -> None:
    rows.claimed(database)
    assert leases.claim(database, Queue.TRAIN, "other", rows.LONG) is None


def test_a_job_whose_lease_expired_is_claimed_under_a_higher_token(database: Database) -> None:
    first = rows.claimed(database)
    rows.expire(database, first.job_id)
    second = rows.claim(database, worker="other")
    assert (second.job_id, second.token, second.attempt) == (first.job_id, first.token + 1, 2)
    assert rows.row(database, first.job_id).worker == "other"
    assert second.path("a") != first.path("a")


def test_a_lease_expires_by_the_databases_clock(database: Database) -> None:
    rows.accept(database)
    rows.claim(database, seconds=2)
    assert leases.claim(database, Queue.TRAIN, "other", rows.LONG) is None
    until(lambda: leases.claim(database, Queue.TRAIN, "other", rows.LONG))


def test_a_lease_that_expired_unnoticed_can_be_renewed(database: Database) -> None:
    lease = rows.claimed(database)
    rows.expire(database, lease.job_id)
    assert leases.renew(database, lease, rows.LONG) is None  # late, but no other worker has claimed the job
    assert leases.claim(database, Queue.TRAIN, "other", rows.LONG) is None


def test_started_at_is_the_start_of_the_first_attempt(database: Database) -> None:
    lease = rows.claimed(database)
    started = rows.row(database, lease.job_id).started_at
    rows.expire(database, lease.job_id)
    rows.claim(database)
    assert rows.row(database, lease.job_id).started_at == started


def test_racing_workers_claim_each_job_exactly_once(database: Database) -> None:
    accepted = [rows.accept(database) for _ in range(50)]
    together = threading.Barrier(RACERS)

    def work(worker: str) -> list[str]:
        together.wait()
        taken = []
        while (lease := leases.claim(database, Queue.TRAIN, worker, rows.LONG)) is not None:
            taken.append(lease.job_id)
            outcomes.succeed(database, lease, [], rows.DONE)
        return taken

    with ThreadPoolExecutor(RACERS) as pool:
        taken = list(pool.map(work, [f"w{number}" for number in range(RACERS)]))
    assert sorted(job_id for one in taken for job_id in one) == sorted(accepted)
    done = [rows.row(database, job_id) for job_id in accepted]
    assert {(job.status, job.token, job.attempt) for job in done} == {(JobStatus.SUCCEEDED, 1, 1)}


def test_one_of_several_racing_workers_claims_a_job_whose_worker_was_lost(database: Database) -> None:
    lease = rows.claimed(database)
    together = threading.Barrier(RACERS)

    def work(worker: str) -> JobLease | None:
        together.wait()
        return leases.claim(database, Queue.TRAIN, worker, rows.LONG)

    with ThreadPoolExecutor(RACERS) as pool:
        for _ in range(leases.MAX_FAILURES - 1):
            rows.expire(database, lease.job_id)
            got = [one for one in pool.map(work, [f"w{number}" for number in range(RACERS)]) if one is not None]
            assert len(got) == 1


def test_a_claim_waits_for_a_row_that_is_locked_for_a_moment(database: Database) -> None:
    """A reconciler locks it while it marks the job as notified: the queue must not seem to be empty."""
    job_id = rows.accept(database)
    locked, claims = threading.Event(), []

    def claim() -> None:
        locked.wait(10)
        claims.append(leases.claim(database, Queue.TRAIN, "w", 60.0))

    worker = threading.Thread(target=claim)
    worker.start()
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(notified_at=0.0))
        locked.set()
        worker.join(0.5)
        assert claims == [], "it waits"
    worker.join(10)
    assert [one.job_id for one in claims] == [job_id]


def test_the_next_renewal_tells_a_worker_that_its_job_was_canceled(database: Database) -> None:
    lease = rows.claimed(database)
    assert requests.cancel(database, lease.job_id).status == JobStatus.RUNNING
    assert leases.renew(database, lease, rows.LONG) == StopReason.CANCELED
    outcomes.cancel(database, lease)
    assert rows.row(database, lease.job_id).status == JobStatus.CANCELED


def test_worked_seconds_add_up_over_attempts_and_exclude_waiting(database: Database) -> None:
    lease = rows.claimed(database)
    for seconds in (10.0, 5.0):
        _pass(database, lease, seconds)
        assert leases.renew(database, lease, rows.LONG) is None
    outcomes.release(database, lease)
    _pass(database, lease, 1000.0)
    again = rows.claim(database)
    _pass(database, again, 3.0)
    leases.renew(database, again, rows.LONG)
    assert rows.row(database, lease.job_id).worked_seconds == pytest.approx(18.0, abs=1.0)


@pytest.mark.parametrize(("jump", "counted"), [(-1e6, 0.0), (1e6, rows.LONG)])
def test_a_jump_of_the_clock_counts_as_no_more_work_than_the_lease_was_for(
    database: Database, jump: float, counted: float
) -> None:
    lease = rows.claimed(database)
    _pass(database, lease, jump)
    leases.renew(database, lease, rows.LONG)
    assert rows.row(database, lease.job_id).worked_seconds == pytest.approx(counted, abs=1.0)


def test_a_renewal_after_abandon_counts_no_jump_of_the_clock_as_work(database: Database) -> None:
    lease = rows.claimed(database)
    with database.write() as session:
        times = {"leased_at": Job.leased_at - 1e6, "lease_until": Job.lease_until - 1e6}
        session.execute(update(Job).where(Job.seq == lease.seq).values(**times))
    outcomes.abandon(database, lease)
    leases.renew(database, lease, rows.LONG)
    assert rows.row(database, lease.job_id).worked_seconds <= rows.LONG


def test_a_job_at_its_time_limit_stops_and_resumes_only_with_a_larger_one(database: Database) -> None:
    lease = rows.claimed(database, replace(rows.train(), time_limit_seconds=12.0))
    running.checkpoint(database, lease, rows.stored("c/1"))
    _pass(database, lease, 13.0)
    assert leases.renew(database, lease, rows.LONG) == StopReason.TIME_UP
    outcomes.fail(database, lease, {"type": "time-limit", "detail": "d"})
    with pytest.raises(Conflict, match="larger time_limit_seconds"):
        requests.resume(database, lease.job_id)
    assert rows.row(database, lease.job_id).status == JobStatus.FAILED
    requests.resume(database, lease.job_id, time_limit_seconds=60.0)
    again = rows.claim(database)
    assert again.checkpoint == "c/1"
    assert leases.renew(database, again, rows.LONG) is None


def test_each_shard_has_the_time_limit_of_its_job(database: Database) -> None:
    rows.accept(database, replace(rows.split(), time_limit_seconds=10.0))
    first, second = rows.claim(database, Queue.SAMPLE), rows.claim(database, Queue.SAMPLE)
    _pass(database, first, 11.0)
    assert leases.renew(database, second, rows.LONG) is None
    assert leases.renew(database, first, rows.LONG) == StopReason.TIME_UP


def _pass(database: Database, lease: JobLease, seconds: float) -> None:
    """Let `seconds` pass since the last renewal."""
    with database.write() as session:
        shift = {name: getattr(Job, name) - seconds for name in ("leased_at", "lease_until")}
        session.execute(update(Job).where(Job.seq == lease.seq).values(shift))
