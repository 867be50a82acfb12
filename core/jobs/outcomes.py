"""How a worker's lease ends: the job ends, or it returns to its queue for another worker.

Every function that takes a lease raises LeaseLost if the lease is no longer valid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from core.jobs import results, shards
from core.jobs.leases import JobLease, lock_leased, lost, of_any_queue
from core.jobs.results import NewArtifact, NewModel
from core.schemas.jobs import JobKind, JobStatus, Progress
from core.storage import webhooks
from core.storage.clock import now
from core.storage.database import Database
from core.storage.tables import Job


@dataclass(frozen=True)
class Succeeded:
    """The paths of files that a success replaced, and whether the job that its owner sees has ended with it."""

    replaced: list[str]
    job_ended: bool


def succeed(
    database: Database,
    lease: JobLease,
    artifacts: Sequence[NewArtifact],
    progress: Progress,
    *,
    metrics: dict[str, Any] | None = None,
    model: NewModel | None = None,
) -> Succeeded:
    """End the job and write all its results, in one transaction."""
    with database.write() as session:
        job = lock_leased(session, lease)
        replaced = results.attach(job, artifacts)
        shards.record_progress(session, job, progress)
        if metrics is not None:
            job.metrics = metrics
        if model is not None:
            results.add_model(session, job, model)
        job_ended = end(session, job, JobStatus.SUCCEEDED)
        if job_ended and job.kind != JobKind.TRAIN:  # how a model came to be stays of interest
            replaced += results.drop_previews(session, job.parent or job)
        return Succeeded(replaced, job_ended)


def fail(database: Database, lease: JobLease, error: dict[str, Any]) -> None:
    """End the job without results, because of `error`."""
    with database.write() as session:
        end(session, lock_leased(session, lease), JobStatus.FAILED, error)


def cancel(database: Database, lease: JobLease) -> None:
    """End the job because its owner canceled it."""
    with database.write() as session:
        end(session, lock_leased(session, lease), JobStatus.CANCELED)


def release(database: Database, lease: JobLease) -> JobStatus | None:
    """Return the job to its queue at once, without counting a failure; a job to be canceled ends instead.

    Returns the job's new status as its owner sees it, or None if that is no change.
    """
    with database.write() as session:
        job = lock_leased(session, lease)
        if job.cancel_requested:
            end(session, job, JobStatus.CANCELED)
            return JobStatus.CANCELED
        job.failures = max(job.failures - 1, 0)
        return shards.requeue(session, job)


def abandon(
    database: Database,
    lease: JobLease,
    error: dict[str, Any] | None = None,
    wait_seconds: float = 0.0,
    *,
    count_failure: bool = True,
) -> None:
    """End the lease of a worker that cannot go on; another may claim the job after a pause.

    The pause is `wait_seconds` after the first failure, and three times longer after each further one. `error` says why
    the worker cannot go on. Pass `count_failure=False` if the job is not to blame.
    """
    with database.write() as session:
        job = lock_leased(session, lease)
        pause = wait_seconds * 3 ** max(job.failures - 1, 0)
        job.failures = job.failures if count_failure else max(job.failures - 1, 0)
        job.error = error or job.error
        job.progress = {**job.progress, "eta_seconds": None}
        job.worker = job.notified_at = None
        session.flush()
        # `leased_at` too, because a late renewal counts the time since then as work, even if the clock has jumped.
        session.execute(update(Job).where(Job.seq == job.seq).values(leased_at=now(), lease_until=now() + pause - 0.01))


def end_lost(database: Database) -> list[str]:
    """End the jobs whose worker was lost and which are not to be tried again. Return their ids."""
    with database.read() as session:
        found = session.execute(select(Job.seq, Job.parent_seq).where(of_any_queue(), lost()).order_by(Job.seq)).all()
    return [job_id for seq, parent_seq in found if (job_id := _end_lost(database, seq, parent_seq)) is not None]


def _end_lost(database: Database, seq: int, parent_seq: int | None) -> str | None:
    """End one such job and return its id, or None if it is no longer lost."""
    with database.write() as session:
        shards.lock_parent(session, parent_seq)
        job = session.scalar(select(Job).where(Job.seq == seq, lost()).with_for_update(skip_locked=True))
        if job is None:
            return None
        if job.cancel_requested:
            end(session, job, JobStatus.CANCELED)
        else:
            end(session, job, JobStatus.FAILED, _too_many_failures(job))
        return job.id


def _too_many_failures(job: Job) -> dict[str, Any]:
    tries = f"{job.failures} tries in a row ended without reaching a checkpoint"
    if job.error is not None:
        return {"type": job.error["type"], "detail": f"{tries}; the last: {job.error['detail']}"}
    return {"type": "worker-lost", "detail": f"{tries}: each time the worker was killed or ran out of memory"}


def end(session: Session, job: Job, status: JobStatus, error: dict[str, Any] | None = None) -> bool:
    """End a job: every job ends here. Return True if the job that its owner sees has ended.

    A parent ends when one of its shards does not succeed, or when the last one succeeds. Its unfinished shards end with
    it, canceled; their workers notice when they next renew their leases.
    """
    job.status = status
    job.error = error
    job.worker = job.lease_until = None
    session.flush()
    _finish(session, Job.seq == job.seq)
    if job.shards:
        _finish(session, shards.unfinished(job), status=JobStatus.CANCELED, worker=None, lease_until=None)
    session.refresh(job)
    if job.parent is None:
        webhooks.enqueue_deliveries(session, job)
        return True
    if status == JobStatus.SUCCEEDED and shards.is_any_left(session, job.parent):
        return False
    return end(session, job.parent, status, error)


def _finish(session: Session, which: ColumnElement[bool], **values: Any) -> None:
    ended = update(Job).where(which).values(finished_at=now(), **values)
    session.execute(ended.execution_options(synchronize_session=False))  # `end` refreshes the row it reads again
