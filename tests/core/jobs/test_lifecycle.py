"""Invariants of a job's life under any order of actions of its owner, its workers and the clock (hypothesis)."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import and_, func, or_, select, update
from support import rows

from core.jobs import leases, outcomes, requests, running
from core.jobs.leases import JobLease
from core.jobs.reconciler import count_claimable
from core.schemas.jobs import JobStatus, Queue
from core.storage.database import Database
from core.storage.errors import Conflict, LeaseLost, NotFound
from core.storage.tables import Job, Model

EXAMPLES, STEPS = {"sqlite": 10, "postgresql": 4}, 40
FINAL = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED)


class Life(RuleBasedStateMachine):
    """Compare the rows with a model of them: which worker holds which job, and what was written last."""

    database: Database

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        rows.empty(self.database)
        self.tokens: dict[str, int] = {}  # the highest of each job
        self.holder: dict[str, int] = {}  # of each leased job
        self.failures: dict[str, int] = {}
        self.checkpoints: dict[str, str | None] = {}
        self.worked: dict[str, float] = {}
        self.renewals = Counter[str]()
        self.models: set[str] = set()

    def status(self, job_id: str) -> JobStatus | None:
        with suppress(NotFound):
            return JobStatus(rows.row(self.database, job_id).status)
        return None

    def holds(self, lease: JobLease) -> bool:
        return self.holder.get(lease.job_id) == lease.token

    def write(self, lease: JobLease, action: Callable[[], object]) -> bool:
        """Do what only the holder may do. Return False if it is refused, and check that it has changed nothing."""
        if self.holds(lease):
            action()
            return True
        before = self._everything(lease.job_id)
        with pytest.raises(LeaseLost):
            action()
        assert self._everything(lease.job_id) == before
        return False

    def _everything(self, job_id: str) -> object:
        return rows.everything(self.database, job_id) if self.status(job_id) else None

    @initialize(target=jobs)
    def first(self) -> str:
        return self.accept()

    @rule(target=jobs, priority=st.integers(-1, 1))
    def accept(self, priority: int = 0) -> str:
        job_id = rows.accept(self.database, replace(rows.train(), priority=priority))
        self.tokens[job_id], self.failures[job_id], self.checkpoints[job_id] = 0, 0, None
        return job_id

    @rule(target=claims)
    def claim(self) -> object:
        found = leases.claim(self.database, Queue.TRAIN, "w", rows.LONG)
        if found is None:
            assert count_claimable(self.database, Queue.TRAIN) == 0
            return multiple()
        with self.database.read() as session:
            waiting = select(func.max(Job.priority)).where(Job.status == JobStatus.QUEUED)
            highest = session.scalar(waiting)
        assert highest is None or found_priority(self.database, found) >= highest
        assert found.token == self.tokens[found.job_id] + 1
        assert found.checkpoint == self.checkpoints[found.job_id]
        self.tokens[found.job_id] = self.holder[found.job_id] = found.token
        self.failures[found.job_id] += 1
        return found

    @rule(lease=claims)
    def renew(self, lease: JobLease) -> None:
        if self.write(lease, lambda: leases.renew(self.database, lease, rows.LONG)):
            self.renewals[lease.job_id] += 1

    @rule(lease=claims, step=st.integers(0, 3))
    def record(self, lease: JobLease, step: int) -> None:
        self.write(lease, lambda: running.record(self.database, lease, rows.DONE, [(step, {"energy": float(step)})]))

    @rule(lease=claims, name=st.sampled_from(["a.png", "b.png"]))
    def publish(self, lease: JobLease, name: str) -> None:
        file = rows.artifact(name)
        if self.write(lease, lambda: running.publish(self.database, lease, file)):
            assert file.stored.blob in [one.blob for one in rows.row(self.database, lease.job_id).artifacts]

    @rule(lease=claims)
    def checkpoint(self, lease: JobLease) -> None:
        stored = rows.stored()
        if self.write(lease, lambda: running.checkpoint(self.database, lease, stored)):
            self.failures[lease.job_id], self.checkpoints[lease.job_id] = 0, stored.blob

    @rule(lease=consumes(claims))
    def succeed(self, lease: JobLease) -> None:
        model = rows.new_model()
        results = [rows.artifact()]
        if self.write(lease, lambda: outcomes.succeed(self.database, lease, results, rows.DONE, model=model)):
            self._ended(lease.job_id, JobStatus.SUCCEEDED)
            self.models.add(model.id)

    @rule(lease=consumes(claims))
    def fail(self, lease: JobLease) -> None:
        if self.write(lease, lambda: outcomes.fail(self.database, lease, {"type": "t", "detail": "d"})):
            self._ended(lease.job_id, JobStatus.FAILED)

    @rule(lease=claims)  # its worker may still try to write, which is refused
    def release(self, lease: JobLease) -> None:
        wanted = self.status(lease.job_id) and rows.row(self.database, lease.job_id).cancel_requested
        if self.write(lease, lambda: outcomes.release(self.database, lease)):
            del self.holder[lease.job_id]
            if not wanted:
                self.failures[lease.job_id] = max(self.failures[lease.job_id] - 1, 0)
            assert self.status(lease.job_id) == (JobStatus.CANCELED if wanted else JobStatus.QUEUED)

    @rule(lease=claims)  # the worker dies, or comes back and still tries to write
    def abandon(self, lease: JobLease) -> None:
        self.write(lease, lambda: outcomes.abandon(self.database, lease))

    @rule(lease=claims)
    def lease_expires(self, lease: JobLease) -> None:
        if self.holds(lease):
            rows.expire(self.database, lease.job_id)

    @rule(seconds=st.sampled_from([-1e6, -30.0, 30.0, 1e6]))
    def clock_jumps(self, seconds: float) -> None:
        """As if the clock was set forward by `seconds`, or back."""
        times = {name: getattr(Job, name) - seconds for name in ("leased_at", "lease_until", "notified_at")}
        with self.database.write() as session:
            session.execute(update(Job).values(times))

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        if self.status(job_id) in (JobStatus.QUEUED, JobStatus.RUNNING):
            with self.database.read() as session:
                is_leased = leases.is_leased(session, rows.row(self.database, job_id))
            requests.cancel(self.database, job_id)
            if not is_leased:
                self.holder.pop(job_id, None)
            assert self.status(job_id) == (JobStatus.RUNNING if is_leased else JobStatus.CANCELED)
        else:
            with pytest.raises((Conflict, NotFound)):
                requests.cancel(self.database, job_id)

    @rule(job_id=jobs)
    def resume(self, job_id: str) -> None:
        if self.status(job_id) in FINAL:
            requests.resume(self.database, job_id)
            self.failures[job_id] = 0
            assert self.status(job_id) == JobStatus.QUEUED
        else:
            with pytest.raises((Conflict, NotFound)):
                requests.resume(self.database, job_id)

    @precondition(lambda self: len(self.tokens) > 1)
    @rule(job_id=jobs)
    def delete(self, job_id: str) -> None:
        if self.status(job_id) in FINAL:
            requests.delete(self.database, job_id)
            assert self.status(job_id) is None
        else:
            with pytest.raises((Conflict, NotFound)):
                requests.delete(self.database, job_id)

    @rule()
    def end_lost(self) -> None:
        for job_id in outcomes.end_lost(self.database):
            del self.holder[job_id]
            job = rows.row(self.database, job_id)
            assert job.status == (JobStatus.CANCELED if job.cancel_requested else JobStatus.FAILED)
            assert job.cancel_requested or self.failures[job_id] >= leases.MAX_FAILURES

    @rule()
    def every_unfinished_job_is_claimable_leased_or_lost(self) -> None:
        with self.database.read() as session:
            on = select(func.count()).where(Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING)))
            unfinished = session.scalar(on)
            accounted_for = or_(
                leases.claimable(), leases.lost(), and_(Job.lease_until.is_not(None), ~leases.has_expired())
            )
            assert session.scalar(on.where(accounted_for)) == unfinished

    def _ended(self, job_id: str, status: JobStatus) -> None:
        del self.holder[job_id]
        assert self.status(job_id) == status

    @invariant()
    def rows_agree_with_the_model(self) -> None:
        with self.database.read() as session:
            found = {job.id: job for job in session.scalars(select(Job))}
            learned = set(session.scalars(select(Model.id)))
        assert set(found) <= set(self.tokens), "no job appears by itself"
        assert learned == self.models, "models come from successes alone, and stay"
        for job_id, job in found.items():
            assert job.token == self.tokens[job_id], "a token rises at claims alone"
            assert job.attempt == job.token
            assert job.failures == self.failures[job_id]
            assert job.checkpoint == self.checkpoints[job_id]
            lease = job.lease_until is not None
            assert lease == (job.status == JobStatus.RUNNING) == (job_id in self.holder)
            assert lease or job.worker is None
            assert job.worked_seconds >= self.worked.get(job_id, 0.0), "time worked never falls"
            most = rows.LONG * self.renewals[job_id]
            assert job.worked_seconds <= most, "each renewal adds at most the time leased"
            self.worked[job_id] = job.worked_seconds
            assert (job.finished_at is not None) == (job.status in FINAL)
            assert (job.error is not None) == (job.status == JobStatus.FAILED)
            if lease:
                assert self.holder[job_id] == job.token, "the holder is the last to claim"
        waiting = [job for job in found.values() if job.status == JobStatus.QUEUED]
        waiting.sort(key=lambda job: (-job.priority, job.seq))
        places = requests.queue_positions(self.database, list(found.values()))
        assert places == {job.id: place for place, job in enumerate(waiting, start=1)}, "positions have no gaps"


def found_priority(database: Database, found: JobLease) -> int:
    return rows.row(database, found.job_id).priority


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.exhaustive)])
def test_the_invariants_hold_in_any_life_of_a_job(database: Database, times: int) -> None:
    Life.database = database
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=times * EXAMPLES[database.engine.dialect.name],
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
