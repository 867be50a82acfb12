"""Jobs as their workers see them. A worker claims a job with a lease and renews it while it works.

A lease that runs out is another worker's to claim. Each claim raises the job's token, and every write checks it, so a
worker that was stopped, cut off or slow can no longer touch a job that went to another: exactly one result counts.
All times are the database's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, func, insert, not_, or_, select, update
from sqlalchemy.orm import Session

from core.jobs import shards
from core.schemas.jobs import JobKind, JobStatus, Progress, Queue
from core.storage.blobs import StoredBlob
from core.storage.clock import now
from core.storage.database import Database
from core.storage.errors import LeaseLost
from core.storage.tables import Artifact, Job, Metric, Model, in_turn

MAX_FAILURES = 3  # claims in a row that killed their worker
CLOCK_SLACK = 5.0  # seconds; what lies further in the future was written before the database's clock was set back


@dataclass(frozen=True)
class JobLease:
    """A job in the hands of one worker; `token` proves it. `first` is where the results of a shard begin."""

    seq: int
    token: int
    job_id: str
    kind: JobKind
    params: Mapping[str, Any]
    dataset_id: str | None
    model_id: str | None
    model_ids: tuple[str, ...]  # where the job needs several
    checkpoint: str | None
    attempt: int
    request_id: str | None
    first: int = 0
    parent_seq: int | None = None
    parent_id: str | None = None

    @property
    def shown_id(self) -> str:
        """The job that its owner sees, and hears of."""
        return self.parent_id or self.job_id

    def path(self, name: str) -> str:
        """Where this attempt, and no other, stores a file."""
        return f"jobs/{self.job_id}/{self.token}/{name}"


class Reason(StrEnum):
    """Why the holder of a lease is to stop."""

    CANCELED = "canceled"  # its owner wants it to
    TIME_UP = "time-up"  # workers have held it for as long as they may


@dataclass(frozen=True)
class NewArtifact:
    name: str
    media_type: str
    stored: StoredBlob
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Success:
    """What a success changed: paths of files that others replace, and whether its owner's job has ended with it."""

    replaced: list[str]
    ended: bool


@dataclass(frozen=True)
class NewModel:
    id: str
    name: str | None
    stored: StoredBlob
    params: dict[str, Any]
    channels: int


def claim(database: Database, queue: Queue, worker: str, lease_seconds: float) -> JobLease | None:
    """Take the oldest job of `queue` that nobody works on; None where there is none."""
    with database.write() as session:
        query = select(Job).where(Job.queue == queue, _claimable()).order_by(*in_turn()).limit(1)
        job = session.scalar(query.with_for_update(skip_locked=True))
        if job is None:  # or the only one is locked for a moment, as by a reconciler: then that is waited for
            job = session.scalar(query.with_for_update())
        if job is None:
            return None
        session.execute(
            update(Job)
            .where(Job.seq == job.seq)
            .values(
                status=JobStatus.RUNNING,
                token=Job.token + 1,
                attempt=Job.attempt + 1,
                failures=Job.failures + 1,
                error=None,
                worker=worker,
                leased_at=now(),
                lease_until=now() + lease_seconds,
                started_at=func.coalesce(Job.started_at, now()),
            )
        )
        session.refresh(job)
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
            first=job.first,
            parent_seq=job.parent_seq,
            parent_id=job.parent.id if job.parent else None,
        )


def begin(database: Database, held: JobLease) -> int | None:
    """The work begins. Gives the attempt of its owner's job, None where that one runs already. Raises LeaseLost."""
    with database.write() as session:
        return shards.begin(_fenced(session, held))


def renew(database: Database, held: JobLease, lease_seconds: float) -> Reason | None:
    """Go on holding the lease; tells whether there is reason to stop. Raises LeaseLost."""
    with database.write() as session:
        renewed = (
            update(Job)
            .where(*_held(held))
            .values(
                leased_at=now(), lease_until=now() + lease_seconds, worked_seconds=Job.worked_seconds + _just_worked()
            )
        )
        row = session.execute(
            renewed.returning(Job.cancel_requested, Job.worked_seconds >= Job.time_limit_seconds)
        ).one_or_none()
    if row is None:
        raise LeaseLost(f"job {held.job_id} is no longer this worker's")
    cancel_requested, time_up = row
    return Reason.CANCELED if cancel_requested else Reason.TIME_UP if time_up else None


def is_held(database: Database, held: JobLease) -> bool:
    """Whether the lease of this claim still runs."""
    with database.read() as session:
        return session.scalar(select(Job.seq).where(*_held(held), _in_hands())) is not None


def record(
    database: Database, held: JobLease, progress: Progress, points: Sequence[tuple[int, Mapping[str, Any]]] = ()
) -> Progress:
    """How far the job has come, and what was measured at each step since the last call.

    Gives how far its owner's job has come. Raises LeaseLost.
    """
    with database.write() as session:
        job = _fenced(session, held)
        if points:
            job.metrics = {**job.metrics, **points[-1][1]}
            steps = [step for step, _ in points]
            session.execute(delete(Metric).where(Metric.job_seq == held.seq, Metric.step.in_(steps)))
            session.execute(
                insert(Metric), [{"job_seq": held.seq, "step": step, "values": dict(values)} for step, values in points]
            )
        return shards.advance(session, job, progress)


def note(database: Database, held: JobLease, facts: Mapping[str, Any]) -> None:
    """What holds of the work from its beginning: the first metrics of its owner's job, in the place of what an earlier
    attempt told. Raises LeaseLost.
    """
    with database.write() as session:
        job = _fenced(session, held)
        (job.parent or job).metrics = dict(facts)


def publish(database: Database, held: JobLease, artifact: NewArtifact) -> list[str]:
    """Show a file among the job's artifacts before it has ended; gives the paths that it replaces. Raises LeaseLost.

    What a shard makes is its parent's.
    """
    with database.write() as session:
        return _attach(_fenced(session, held), [artifact])


def checkpoint(database: Database, held: JobLease, stored: StoredBlob) -> list[str]:
    """From now on the job goes on from here; gives the paths that it replaces. Raises LeaseLost."""
    with database.write() as session:
        job = _fenced(session, held)
        replaced = [job.checkpoint] if job.checkpoint and job.checkpoint != stored.blob else []
        job.checkpoint = stored.blob
        job.failures = 0
        return replaced


def succeed(
    database: Database,
    held: JobLease,
    artifacts: Sequence[NewArtifact],
    progress: Progress,
    *,
    metrics: dict[str, Any] | None = None,
    model: NewModel | None = None,
) -> Success:
    """The job's end with its results, all at once. Raises LeaseLost."""
    with database.write() as session:
        job = _fenced(session, held)
        replaced = _attach(job, artifacts)
        shards.advance(session, job, progress)
        if metrics is not None:
            job.metrics = metrics
        if model is not None:
            session.add(
                Model(
                    id=model.id,
                    owner_seq=job.owner_seq,
                    name=model.name,
                    job_id=held.job_id,
                    params=model.params,
                    channels=model.channels,
                    media_type="application/octet-stream",
                    **_columns(model.stored),
                )
            )
            job.model_id = model.id
        return Success(replaced, ended=shards.end(session, job, JobStatus.SUCCEEDED))


def fail(database: Database, held: JobLease, error: dict[str, Any]) -> None:
    """The job's end without results, and why. Raises LeaseLost."""
    with database.write() as session:
        shards.end(session, _fenced(session, held), JobStatus.FAILED, error)


def canceled(database: Database, held: JobLease) -> None:
    """The job's end by its owner's wish. Raises LeaseLost."""
    with database.write() as session:
        shards.end(session, _fenced(session, held), JobStatus.CANCELED)


def release(database: Database, held: JobLease) -> JobStatus | None:
    """Leave the job to any other worker, at once; this is not counted as a failure.

    Gives the state that its owner sees from now on, None where it is no news. Raises LeaseLost.
    """
    with database.write() as session:
        job = _fenced(session, held)
        if job.cancel_requested:
            shards.end(session, job, JobStatus.CANCELED)
            return JobStatus.CANCELED
        job.failures = max(job.failures - 1, 0)
        return shards.leave(session, job)


def abandon(
    database: Database,
    held: JobLease,
    error: dict[str, Any] | None = None,
    wait_seconds: float = 0.0,
    *,
    counts: bool = True,
) -> None:
    """End the lease of a worker that cannot go on; the job may be claimed again after a pause.

    The pause is `wait_seconds`, three times as long after each failure; `error` says why. counts: False if the job
    is not at fault. Meanwhile nobody holds the job. Raises LeaseLost.
    """
    with database.write() as session:
        job = _fenced(session, held)
        pause = wait_seconds * 3 ** max(job.failures - 1, 0)
        job.failures = job.failures if counts else max(job.failures - 1, 0)
        job.error = error or job.error
        job.worker = job.notified_at = None
        session.flush()
        # Nobody works from now on: what a late renewal counts as work begins here, whatever the clock did before.
        session.execute(update(Job).where(Job.seq == job.seq).values(leased_at=now(), lease_until=now() + pause - 0.01))


def settle_lost(database: Database) -> list[str]:
    """End the jobs whose worker was lost and which are not to be tried again; gives their ids."""
    with database.read() as session:
        lost = session.execute(select(Job.seq, Job.parent_seq).where(_lost()).order_by(Job.seq)).all()
    return [job_id for seq, parent_seq in lost if (job_id := _settle(database, seq, parent_seq)) is not None]


def _settle(database: Database, seq: int, parent_seq: int | None) -> str | None:
    """End one that still is lost; gives its id."""
    with database.write() as session:
        shards.lock_parent(session, parent_seq)
        job = session.scalar(select(Job).where(Job.seq == seq, _lost()).with_for_update(skip_locked=True))
        if job is None:
            return None
        if job.cancel_requested:
            shards.end(session, job, JobStatus.CANCELED)
        else:
            shards.end(session, job, JobStatus.FAILED, _last_straw(job))
        return job.id


def waiting(database: Database, queue: Queue) -> int:
    """How many jobs of `queue` could be claimed now."""
    with database.read() as session:
        return session.scalar(select(func.count()).where(Job.queue == queue, _claimable())) or 0


def unheard(database: Database, queue: Queue, seconds: float, limit: int) -> list[str]:
    """Jobs of `queue` that wait and were not rung for within `seconds`, oldest first; they count as rung for now."""
    with database.write() as session:
        quiet = or_(Job.notified_at.is_(None), Job.notified_at < now() - seconds, Job.notified_at > now() + CLOCK_SLACK)
        query = select(Job.seq).where(Job.queue == queue, _claimable(), quiet).order_by(*in_turn()).limit(limit)
        chosen = session.scalars(query.with_for_update(skip_locked=True)).all()
        if not chosen:
            return []
        ids = session.scalars(update(Job).where(Job.seq.in_(chosen)).values(notified_at=now()).returning(Job.id))
        return list(ids)


def in_hands(session: Session, job: Job) -> bool:
    """Whether a worker holds the job, so that it is this one's to end; else it waits."""
    return session.scalar(select(Job.seq).where(Job.seq == job.seq, _in_hands())) is not None


def _in_hands() -> ColumnElement[bool]:
    return and_(Job.status == JobStatus.RUNNING, Job.worker.is_not(None), not_(_expired()))


def _just_worked() -> ColumnElement[float]:
    """Seconds since the last renewal: none where the clock was set back, and no more than the lease was for."""
    since = now() - Job.leased_at
    return case(
        (or_(Job.leased_at.is_(None), since < 0, Job.lease_until < Job.leased_at), 0.0),
        (since > Job.lease_until - Job.leased_at, Job.lease_until - Job.leased_at),
        else_=since,
    )


def _expired() -> ColumnElement[bool]:
    return and_(Job.status == JobStatus.RUNNING, or_(Job.lease_until < now(), Job.leased_at > now() + CLOCK_SLACK))


def _claimable() -> ColumnElement[bool]:
    again = and_(_expired(), Job.cancel_requested.is_(False), Job.failures < MAX_FAILURES)
    return and_(Job.shards == 0, or_(Job.status == JobStatus.QUEUED, again))


def _lost() -> ColumnElement[bool]:
    return and_(_expired(), or_(Job.cancel_requested, Job.failures >= MAX_FAILURES))


def _held(held: JobLease) -> tuple[ColumnElement[bool], ...]:
    return (Job.seq == held.seq, Job.id == held.job_id, Job.token == held.token, Job.status == JobStatus.RUNNING)


def _fenced(session: Session, held: JobLease) -> Job:
    shards.lock_parent(session, held.parent_seq)
    job = session.scalar(select(Job).where(*_held(held)).with_for_update())
    if job is None:
        raise LeaseLost(f"job {held.job_id} is no longer this worker's")
    return job


def _attach(job: Job, artifacts: Sequence[NewArtifact]) -> list[str]:
    """Add artifacts, each in the place of an earlier one of its name; gives the paths of those."""
    job = job.parent or job
    present = {artifact.name: artifact for artifact in job.artifacts}
    replaced = []
    for new in artifacts:
        columns = {"media_type": new.media_type, "width": new.width, "height": new.height, **_columns(new.stored)}
        if (row := present.get(new.name)) is None:
            job.artifacts.append(Artifact(name=new.name, **columns))
            continue
        if row.blob != new.stored.blob:
            replaced.append(row.blob)
        for name, value in columns.items():
            setattr(row, name, value)
    return replaced


def _last_straw(job: Job) -> dict[str, Any]:
    tries = f"{job.failures} tries in a row ended without reaching a checkpoint"
    if job.error is not None:
        return {"type": job.error["type"], "detail": f"{tries}; the last: {job.error['detail']}"}
    return {"type": "worker-lost", "detail": f"{tries}: each time the worker was lost, by a kill or for want of memory"}


def _columns(stored: StoredBlob) -> dict[str, Any]:
    return {"blob": stored.blob, "bytes": stored.bytes, "sha256": stored.sha256}
