"""Claim a job with a lease, and renew the lease.

Any worker may claim a job whose lease has expired. Each claim raises the job's token (a fencing token), and every write
of a worker checks it. So a worker that was stopped, cut off or slow can no longer write once another has claimed its
job, and exactly one result counts. All times are the database's.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, not_, or_, select, update
from sqlalchemy.orm import Session, aliased

from core.jobs import shards
from core.schemas.jobs import JobKind, JobStatus, Queue, Replay
from core.storage.clock import now
from core.storage.database import Database
from core.storage.errors import LeaseLost
from core.storage.tables import Job, claim_order

MAX_FAILURES = 3  # claims since the last checkpoint, after which a job is not tried again
SILENT_HEARTBEATS, MIN_SILENT_SECONDS = 5, 5.0  # without a renewal, after which a worker counts as silent
CLOCK_SLACK = 5.0  # seconds; times further in the future were written before the database's clock was set back


@dataclass(frozen=True)
class JobLease:
    """A claimed job. `token` proves the claim; `first` is the number of a shard's first result.

    last_error: why the attempt before this one was abandoned, if its worker could say.
    """

    seq: int
    token: int
    job_id: str
    kind: JobKind
    params: Mapping[str, Any]
    dataset_id: str | None
    model_id: str | None
    model_ids: tuple[str, ...]  # for jobs that need several
    checkpoint: str | None
    attempt: int
    request_id: str | None
    owner: int | None = None  # `owner_seq` of the job
    replays: Replay | None = None
    first: int = 0
    parent_seq: int | None = None
    parent_id: str | None = None
    last_error: Mapping[str, Any] | None = None

    @property
    def public_id(self) -> str:
        """The id of the job that its owner sees: of a shard, its parent's."""
        return self.parent_id or self.job_id

    def path(self, name: str) -> str:
        """Return the blob path of one of this attempt's files. No two attempts share a path."""
        return f"jobs/{self.job_id}/{self.token}/{name}"


class StopReason(StrEnum):
    """Why the worker that holds a lease should stop."""

    CANCELED = "canceled"  # the job's owner canceled it
    TIME_UP = "time-up"  # the job's time limit is reached


def claim(database: Database, queue: Queue, worker: str, lease_seconds: float) -> JobLease | None:
    """Lease the next job of `queue` to `worker`. Return None if the queue has no job to claim."""
    with database.write() as session:
        query = select(Job).where(Job.queue == queue, claimable()).order_by(*claim_order()).limit(1)
        job = session.scalar(query.with_for_update(skip_locked=True))
        if job is None:  # the only job may be locked for a moment, for instance by a reconciler: wait for it
            job = session.scalar(query.with_for_update())
        if job is None:
            return None
        last_error = job.error
        session.execute(
            update(Job)
            .where(Job.seq == job.seq)
            .values(
                status=JobStatus.RUNNING,
                token=Job.token + 1,
                attempt=Job.attempt + 1,
                failures=Job.failures + 1,
                error=None,
                progress={**job.progress, "eta_seconds": None},  # until this attempt knows
                worker=worker,
                leased_at=now(),
                lease_until=now() + lease_seconds,
                started_at=func.coalesce(Job.started_at, now()),
            )
        )
        session.refresh(job)
        return _lease(job, last_error)


def _lease(job: Job, last_error: Mapping[str, Any] | None) -> JobLease:
    return JobLease(
        seq=job.seq,
        token=job.token,
        job_id=job.id,
        kind=JobKind(job.kind),
        params=job.params,
        dataset_id=job.dataset_id,
        model_id=job.model_id,
        model_ids=tuple(one.model_id for one in job.models),
        checkpoint=job.checkpoint,
        attempt=job.attempt,
        request_id=job.request_id,
        owner=job.owner_seq,
        replays=Replay.model_validate(job.replays) if job.replays else None,
        first=job.first,
        parent_seq=job.parent_seq,
        parent_id=job.parent.id if job.parent else None,
        last_error=last_error,
    )


def renew(database: Database, lease: JobLease, lease_seconds: float) -> StopReason | None:
    """Extend the lease. Return the reason to stop, if there is one. Raises LeaseLost."""
    with database.write() as session:
        renewed = (
            update(Job)
            .where(*_is_holder(lease))
            .values(
                leased_at=now(),
                lease_until=now() + lease_seconds,
                worked_seconds=Job.worked_seconds + _seconds_since_renewal(),
            )
        )
        row = session.execute(
            renewed.returning(Job.cancel_requested, Job.worked_seconds >= Job.time_limit_seconds)
        ).one_or_none()
    if row is None:
        raise LeaseLost(f"job {lease.job_id} is no longer this worker's")
    cancel_requested, time_up = row
    return StopReason.CANCELED if cancel_requested else StopReason.TIME_UP if time_up else None


def find_silent(database: Database, heartbeat_seconds: float, job_ids: Collection[str] | None = None) -> set[str]:
    """Return the ids of the jobs whose workers are silent (see `is_silent`): of all jobs, or of some."""
    silent = select(Job.id, Job.parent_seq).where(of_any_queue(), is_silent(heartbeat_seconds))
    with database.read() as session:
        rows = session.execute(silent if job_ids is None else silent.where(Job.id.in_(job_ids)))
        return {row.id for row in rows if row.parent_seq is None}  # not in SQL: it would choose the index by parent


def is_valid(database: Database, lease: JobLease) -> bool:
    """Return True if the lease has neither expired nor been superseded by another claim."""
    with database.read() as session:
        return session.scalar(select(Job.seq).where(*_is_holder(lease), _leased())) is not None


def is_leased(session: Session, job: Job) -> bool:
    """Return True if a worker holds the job, and so is the one to end it."""
    return session.scalar(select(Job.seq).where(Job.seq == job.seq, _leased())) is not None


def lock_leased(session: Session, lease: JobLease) -> Job:
    """Return the leased job's row, locked, its parent's row locked before it. Raises LeaseLost."""
    shards.lock_parent(session, lease.parent_seq)
    job = session.scalar(select(Job).where(*_is_holder(lease)).with_for_update())
    if job is None:
        raise LeaseLost(f"job {lease.job_id} is no longer this worker's")
    return job


def of_any_queue() -> ColumnElement[bool]:
    """Select all jobs. Beside a status SQLite then uses the index by queue and status instead of reading each row."""
    return Job.queue.in_(list(Queue))


def claimable() -> ColumnElement[bool]:
    """Select the jobs that a worker could claim now: queued, or with an expired lease and worth another try."""
    again = and_(has_expired(), Job.cancel_requested.is_(False), Job.failures < MAX_FAILURES)
    return and_(Job.shards == 0, or_(Job.status == JobStatus.QUEUED, again))


def lost() -> ColumnElement[bool]:
    """Select the jobs whose lease has expired and which are not to be tried again."""
    return and_(has_expired(), or_(Job.cancel_requested, Job.failures >= MAX_FAILURES))


def is_worked_on() -> ColumnElement[bool]:
    """Select the jobs of which a worker holds the lease, or that of a shard: not those between two attempts."""
    shard = aliased(Job)
    return or_(_leased(), select(shard.seq).where(shard.parent_seq == Job.seq, _leased(shard)).exists())


def is_silent(heartbeat_seconds: float) -> ColumnElement[bool]:
    """Select the running jobs whose workers have renewed no lease for several heartbeats.

    Not those that pause after an attempt whose worker said why it ended (`outcomes.abandon`), unless the pause is over
    for as long and no worker has claimed them.
    """
    longest = max(SILENT_HEARTBEATS * heartbeat_seconds, MIN_SILENT_SECONDS)
    shard = aliased(Job)
    of_shards = select(func.max(_heard_until(shard))).where(
        shard.parent_seq == Job.seq, shard.status == JobStatus.RUNNING
    )
    heard_until = case((Job.shards > 0, of_shards.scalar_subquery()), else_=_heard_until(Job))
    return and_(Job.status == JobStatus.RUNNING, now() - heard_until > longest)


def _heard_until(job: type[Job]) -> ColumnElement[float]:
    """The time of the last renewal of the job's lease; the end of its pause if it has no worker."""
    return case((job.worker.is_(None), job.lease_until), else_=job.leased_at)


def _leased(job: type[Job] = Job) -> ColumnElement[bool]:
    return and_(job.status == JobStatus.RUNNING, job.worker.is_not(None), not_(has_expired(job)))


def has_expired(job: type[Job] = Job) -> ColumnElement[bool]:
    """Select the running jobs whose worker is lost: it no longer renews its lease."""
    return and_(job.status == JobStatus.RUNNING, or_(job.lease_until < now(), job.leased_at > now() + CLOCK_SLACK))


def _is_holder(lease: JobLease) -> tuple[ColumnElement[bool], ...]:
    return (Job.seq == lease.seq, Job.id == lease.job_id, Job.token == lease.token, Job.status == JobStatus.RUNNING)


def _seconds_since_renewal() -> ColumnElement[float]:
    """Seconds since the last renewal: 0 if the clock was set back, and at most the length of the lease."""
    since = now() - Job.leased_at
    return case(
        (or_(Job.leased_at.is_(None), since < 0, Job.lease_until < Job.leased_at), 0.0),
        (since > Job.lease_until - Job.leased_at, Job.lease_until - Job.leased_at),
        else_=since,
    )
