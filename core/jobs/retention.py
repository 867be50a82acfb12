"""How long ended jobs and idempotency keys are kept: find and delete those that are not."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, select

from core.jobs import requests
from core.schemas.jobs import JobStatus
from core.schemas.times import DAY_SECONDS
from core.storage.blobs import BlobMissing, Blobs
from core.storage.clock import now
from core.storage.database import Database
from core.storage.errors import Conflict, NotFound
from core.storage.tables import Artifact, IdempotencyKey, Job, Preview


@dataclass(frozen=True)
class RetentionPolicy:
    """Days to keep ended jobs, most bytes of their files in all (None: no limit), days to keep idempotency keys."""

    jobs_days: float | None = None
    max_bytes: int | None = None
    keys_days: float = 30.0


@dataclass(frozen=True)
class OutdatedJob:
    """A job to delete, the size of its files, and when it ended."""

    job_id: str
    bytes: int
    finished_at: float


def find_outdated(database: Database, blobs: Blobs, policy: RetentionPolicy) -> Iterator[OutdatedJob]:
    """Yield the jobs to delete, those that ended first before the others.

    If the files of ended jobs exceed `max_bytes`, the jobs that ended last are kept. Models, datasets and unfinished
    jobs are always kept, and do not count.
    """
    if policy.jobs_days is None and policy.max_bytes is None:
        return
    ended = _ended(database)
    old = {one.seq for one in ended if policy.jobs_days is not None and one.age > policy.jobs_days * DAY_SECONDS}
    if policy.max_bytes is None:
        ended = [one for one in ended if one.seq in old]
    sizes = _sizes(database, blobs, {one.seq for one in ended})
    stored_bytes = sizes.total()
    for one in ended:
        if one.seq not in old and stored_bytes <= (policy.max_bytes or 0):
            return
        stored_bytes -= sizes[one.seq]
        yield OutdatedJob(one.job_id, sizes[one.seq], one.finished_at)


def delete_job(database: Database, blobs: Blobs, job: OutdatedJob) -> bool:
    """Delete a job and its files. Return False if its owner has deleted or resumed it since it was found."""
    try:
        blobs.delete(*requests.delete(database, job.job_id, job.finished_at))
    except (Conflict, NotFound):
        return False
    return True


def count_old_keys(database: Database, policy: RetentionPolicy) -> int:
    """Return the number of idempotency keys that are older than `keys_days`."""
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(IdempotencyKey).where(_old(policy))) or 0


def delete_old_keys(database: Database, policy: RetentionPolicy) -> None:
    """Delete the idempotency keys that are older than `keys_days`."""
    with database.write() as session:
        session.execute(delete(IdempotencyKey).where(_old(policy)))


def _old(policy: RetentionPolicy) -> ColumnElement[bool]:
    return IdempotencyKey.created_at < now() - policy.keys_days * DAY_SECONDS


class _Ended(NamedTuple):
    """An ended job that its owner sees; `age` is in seconds since its end."""

    seq: int
    job_id: str
    finished_at: float
    age: float


def _ended(database: Database) -> list[_Ended]:
    """Return all ended jobs, those that ended first before the others."""
    final = Job.status.in_([status for status in JobStatus if status.final])
    query = select(Job.seq, Job.id, Job.finished_at, now() - Job.finished_at).where(final, Job.parent_seq.is_(None))
    with database.read() as session:
        found = session.execute(query.order_by(Job.finished_at, Job.seq))
        return [_Ended(seq, job_id, at, age) for seq, job_id, at, age in found if at is not None]


def _sizes(database: Database, blobs: Blobs, wanted: set[int]) -> Counter[int]:
    """Return the bytes of the files of jobs and their shards, by the job's seq."""
    whole = func.coalesce(Job.parent_seq, Job.seq)
    sizes: Counter[int] = Counter()
    with database.read() as session:
        for table in (Artifact, Preview):
            total = select(whole, func.sum(table.bytes)).join(table, table.job_seq == Job.seq).group_by(whole)
            sizes.update({seq: int(size) for seq, size in session.execute(total) if seq in wanted})
        checkpoints = session.execute(select(whole, Job.checkpoint).where(Job.checkpoint.is_not(None))).all()
    for seq, path in checkpoints:
        if seq in wanted and path is not None:
            with suppress(BlobMissing):  # its owner or another sweep has deleted it
                sizes[seq] += blobs.size(path)
    return sizes
