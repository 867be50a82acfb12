"""A job's life under any order of what its owner, its workers and the clock may do."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

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
from support.postgres import PostgresServer

from core.jobs import leases, requests
from core.jobs.leases import JobLease
from core.schemas.jobs import JobStatus, Queue
from core.storage.database import Database
from core.storage.errors import Conflict, LeaseLost, NotFound
from core.storage.tables import Job, Model

EXAMPLES, EXAMPLES_ON_POSTGRES, STEPS = 20, 5, 40
FINAL = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED)


class Life(RuleBasedStateMachine):
    """Beside the rows, a model of them: who holds which job, and what was written last."""

    template: Path

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="genconvnet-life-"))
        self.database = self._open()
        self.tokens: dict[str, int] = {}  # of each job, the highest that was given
        self.holder: dict[str, int] = {}  # of each job that somebody holds, the token
        self.failures: dict[str, int] = {}
        self.checkpoints: dict[str, str | None] = {}
        self.worked: dict[str, float] = {}
        self.models: set[str] = set()

    def _open(self) -> Database:
        return Database(f"sqlite:///{shutil.copy(self.template, self.folder / 'rows.sqlite3')}")

    def teardown(self) -> None:
        self.database.dispose()
        shutil.rmtree(self.folder, ignore_errors=True)

    def status(self, job_id: str) -> JobStatus | None:
        with suppress(NotFound):
            return JobStatus(rows.row(self.database, job_id).status)
        return None

    def holds(self, held: JobLease) -> bool:
        return self.holder.get(held.job_id) == held.token

    def write(self, held: JobLease, action: Callable[[], object]) -> bool:
        """Do what only the holder may; refused, it has changed nothing."""
        if self.holds(held):
            action()
            return True
        before = self._all(held.job_id)
        with pytest.raises(LeaseLost):
            action()
        assert self._all(held.job_id) == before
        return False

    def _all(self, job_id: str) -> object:
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
            assert leases.waiting(self.database, Queue.TRAIN) == 0
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

    @rule(held=claims)
    def renew(self, held: JobLease) -> None:
        self.write(held, lambda: leases.renew(self.database, held, rows.LONG))

    @rule(held=claims, step=st.integers(0, 3))
    def record(self, held: JobLease, step: int) -> None:
        self.write(held, lambda: leases.record(self.database, held, rows.DONE, [(step, {"energy": float(step)})]))

    @rule(held=claims, name=st.sampled_from(["a.png", "b.png"]))
    def publish(self, held: JobLease, name: str) -> None:
        file = rows.artifact(name)
        if self.write(held, lambda: leases.publish(self.database, held, file)):
            assert file.stored.blob in [one.blob for one in rows.row(self.database, held.job_id).artifacts]

    @rule(held=claims)
    def checkpoint(self, held: JobLease) -> None:
        stored = rows.stored()
        if self.write(held, lambda: leases.checkpoint(self.database, held, stored)):
            self.failures[held.job_id], self.checkpoints[held.job_id] = 0, stored.blob

    @rule(held=consumes(claims))
    def succeed(self, held: JobLease) -> None:
        model = rows.new_model()
        results = [rows.artifact()]
        if self.write(held, lambda: leases.succeed(self.database, held, results, rows.DONE, model=model)):
            self._ended(held.job_id, JobStatus.SUCCEEDED)
            self.models.add(model.id)

    @rule(held=consumes(claims))
    def fail(self, held: JobLease) -> None:
        if self.write(held, lambda: leases.fail(self.database, held, {"type": "t", "detail": "d"})):
            self._ended(held.job_id, JobStatus.FAILED)

    @rule(held=claims)  # it may go on to write, which is refused
    def release(self, held: JobLease) -> None:
        wanted = self.status(held.job_id) and rows.row(self.database, held.job_id).cancel_requested
        if self.write(held, lambda: leases.release(self.database, held)):
            del self.holder[held.job_id]
            if not wanted:
                self.failures[held.job_id] = max(self.failures[held.job_id] - 1, 0)
            assert self.status(held.job_id) == (JobStatus.CANCELED if wanted else JobStatus.QUEUED)

    @rule(held=claims)  # a worker dies, and its claim is left; it comes back as a zombie
    def abandon(self, held: JobLease) -> None:
        self.write(held, lambda: leases.abandon(self.database, held))

    @rule(held=claims)
    def clock_goes_on(self, held: JobLease) -> None:
        if self.holds(held):
            rows.expire(self.database, held.job_id)

    @rule(seconds=st.sampled_from([-1e6, -30.0, 30.0, 1e6]))
    def clock_jumps(self, seconds: float) -> None:
        """As if the clock was set forward by so many seconds, or back."""
        times = {name: getattr(Job, name) - seconds for name in ("leased_at", "lease_until", "notified_at")}
        with self.database.write() as session:
            session.execute(update(Job).values(times))

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        if self.status(job_id) in (JobStatus.QUEUED, JobStatus.RUNNING):
            with self.database.read() as session:
                in_hands = leases.in_hands(session, rows.row(self.database, job_id))
            requests.cancel(self.database, job_id)
            if not in_hands:
                self.holder.pop(job_id, None)
            assert self.status(job_id) == (JobStatus.RUNNING if in_hands else JobStatus.CANCELED)
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
    def settle_lost(self) -> None:
        for job_id in leases.settle_lost(self.database):
            del self.holder[job_id]
            job = rows.row(self.database, job_id)
            assert job.status == (JobStatus.CANCELED if job.cancel_requested else JobStatus.FAILED)
            assert job.cancel_requested or self.failures[job_id] >= leases.MAX_FAILURES

    @rule()
    def every_accepted_job_is_on_its_way_to_an_end(self) -> None:
        with self.database.read() as session:
            on = select(func.count()).where(Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING)))
            unfinished = session.scalar(on)
            cared_for = or_(leases._claimable(), leases._lost(), and_(Job.lease_until.is_not(None), ~leases._expired()))
            assert session.scalar(on.where(cared_for)) == unfinished

    def _ended(self, job_id: str, status: JobStatus) -> None:
        del self.holder[job_id]
        assert self.status(job_id) == status

    @invariant()
    def rows_are_what_the_model_says(self) -> None:
        with self.database.read() as session:
            found = {job.id: job for job in session.scalars(select(Job))}
            learned = set(session.scalars(select(Model.id)))
        assert set(found) <= set(self.tokens), "a job was invented"
        assert learned == self.models, "a model is of a success, and stays"
        for job_id, job in found.items():
            assert job.token == self.tokens[job_id], "a token never falls, and rises by claims alone"
            assert job.attempt == job.token
            assert job.failures == self.failures[job_id]
            assert job.checkpoint == self.checkpoints[job_id]
            held = job.lease_until is not None
            assert held == (job.status == JobStatus.RUNNING) == (job_id in self.holder)
            assert held or job.worker is None
            assert job.worked_seconds >= self.worked.get(job_id, 0.0), "time worked never falls"
            assert job.worked_seconds <= rows.LONG * job.attempt, "and is no more than was leased"
            self.worked[job_id] = job.worked_seconds
            assert (job.finished_at is not None) == (job.status in FINAL)
            assert (job.error is not None) == (job.status == JobStatus.FAILED)
            if held:
                assert self.holder[job_id] == job.token, "one holder at most, the last to claim"
        waiting = [job for job in found.values() if job.status == JobStatus.QUEUED]
        waiting.sort(key=lambda job: (-job.priority, job.seq))
        places = requests.queue_positions(self.database, list(found.values()))
        assert places == {job.id: place for place, job in enumerate(waiting, start=1)}, "counted without a gap"


class LifeOnPostgres(Life):
    """On the one database of the tests, emptied for each life."""

    url: Callable[[], str]

    def _open(self) -> Database:
        return Database(type(self).url())


def found_priority(database: Database, found: JobLease) -> int:
    return rows.row(database, found.job_id).priority


def test_any_life_of_a_job_keeps_the_promises(sqlite_template: Path) -> None:
    Life.template = sqlite_template
    _live(Life, EXAMPLES)


def test_any_life_of_a_job_keeps_the_promises_on_postgresql(postgres_server: PostgresServer) -> None:
    LifeOnPostgres.url = postgres_server.emptied
    _live(LifeOnPostgres, EXAMPLES_ON_POSTGRES)


def _live(life: type[Life], examples: int) -> None:
    run_state_machine_as_test(
        life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
