"""What is kept for how long: jobs that ended, by age and by the room that all files take, and idempotency keys."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select

from core.contracts.jobs import JobStatus
from core.contracts.times import DAY_SECONDS
from core.store import jobs
from core.store.blobs import Blobs
from core.store.clock import now
from core.store.database import Database
from core.store.errors import Conflict, NotFound
from core.store.schema import IdempotencyKey, Job


@dataclass(frozen=True)
class Kept:
    """For how long jobs stay after their end, and how many bytes all files together may take; None for no bound."""

    jobs_days: float | None = None
    max_bytes: int | None = None
    keys_days: float = 30.0


@dataclass(frozen=True)
class Outdated:
    """A job that is not kept, how many bytes its files take, and when it ended."""

    job_id: str
    bytes: int
    finished_at: float


def outdated(database: Database, blobs: Blobs, kept: Kept, stored_bytes: int) -> Iterator[Outdated]:
    """The jobs that are not kept, those that ended first before the others.

    `stored_bytes` is what all files take; each job that goes takes its own with it, until the rest may stay. Models and
    datasets stay always.
    """
    if kept.jobs_days is None and kept.max_bytes is None:
        return
    max_bytes = kept.max_bytes
    for job_id, finished_at, age in _ended(database):
        old = kept.jobs_days is not None and age > kept.jobs_days * DAY_SECONDS
        too_much = max_bytes is not None and stored_bytes > max_bytes
        if not (old or too_much):
            return
        try:
            freed = _size(database, blobs, job_id)
        except NotFound:  # its owner or another sweep was faster: what they freed, the next sweep will measure
            max_bytes = None
            continue
        stored_bytes -= freed
        yield Outdated(job_id, freed, finished_at)


def delete_job(database: Database, blobs: Blobs, job: Outdated) -> bool:
    """False where its owner has resumed or deleted it meanwhile, also where it has ended again since."""
    try:
        blobs.delete(*jobs.delete(database, job.job_id, job.finished_at))
    except (Conflict, NotFound):
        return False
    return True


def old_keys(database: Database, kept: Kept) -> int:
    """How many idempotency keys are no longer known."""
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(IdempotencyKey).where(_old(kept))) or 0


def forget_keys(database: Database, kept: Kept) -> None:
    with database.write() as session:
        session.execute(delete(IdempotencyKey).where(_old(kept)))


def _old(kept: Kept) -> ColumnElement[bool]:
    return IdempotencyKey.created_at < now() - kept.keys_days * DAY_SECONDS


def _size(database: Database, blobs: Blobs, job_id: str) -> int:
    """How many bytes a job's files take. Raises NotFound, also where it is deleted while they are looked at."""
    size = sum(blobs.size(path) for path in jobs.files(database, job_id) if blobs.has(path))
    jobs.files(database, job_id)
    return size


def _ended(database: Database) -> list[tuple[str, float, float]]:
    """Every job that has ended, the first to end first: when, and how many seconds ago."""
    final = Job.status.in_([status for status in JobStatus if status.final])
    query = select(Job.id, Job.finished_at, now() - Job.finished_at).where(final, Job.parent_seq.is_(None))
    with database.read() as session:
        found = session.execute(query.order_by(Job.finished_at, Job.seq))
        return [(job_id, finished_at, age) for job_id, finished_at, age in found if finished_at is not None]
