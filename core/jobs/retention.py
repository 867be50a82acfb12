"""What is kept for how long: jobs that ended, by age and by the room that their files take, and idempotency keys."""

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
from core.storage.tables import Artifact, IdempotencyKey, Job


@dataclass(frozen=True)
class Kept:
    """For how long jobs stay after their end, and how many bytes their files may take in all; None for no bound."""

    jobs_days: float | None = None
    max_bytes: int | None = None
    keys_days: float = 30.0


@dataclass(frozen=True)
class Outdated:
    """A job that is not kept, how many bytes its files take, and when it ended."""

    job_id: str
    bytes: int
    finished_at: float


def outdated(database: Database, blobs: Blobs, kept: Kept) -> Iterator[Outdated]:
    """The jobs that are not kept, those that ended first before the others.

    The files of jobs that ended last may stay, as many as there is room for; models, datasets and jobs that have not
    ended are not counted, and stay always.
    """
    if kept.jobs_days is None and kept.max_bytes is None:
        return
    ended = _ended(database)
    old = {one.seq for one in ended if kept.jobs_days is not None and one.age > kept.jobs_days * DAY_SECONDS}
    if kept.max_bytes is None:
        ended = [one for one in ended if one.seq in old]
    sizes = _sizes(database, blobs, {one.seq for one in ended})
    stored_bytes = sizes.total()
    for one in ended:
        if one.seq not in old and stored_bytes <= (kept.max_bytes or 0):
            return
        stored_bytes -= sizes[one.seq]
        yield Outdated(one.job_id, sizes[one.seq], one.finished_at)


def delete_job(database: Database, blobs: Blobs, job: Outdated) -> bool:
    """False where its owner has resumed or deleted it meanwhile, also where it has ended again since."""
    try:
        blobs.delete(*requests.delete(database, job.job_id, job.finished_at))
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


class _Ended(NamedTuple):
    """A job that its owner sees; `age` in seconds since its end."""

    seq: int
    job_id: str
    finished_at: float
    age: float


def _ended(database: Database) -> list[_Ended]:
    """Every job that has ended, the first to end first."""
    final = Job.status.in_([status for status in JobStatus if status.final])
    query = select(Job.seq, Job.id, Job.finished_at, now() - Job.finished_at).where(final, Job.parent_seq.is_(None))
    with database.read() as session:
        found = session.execute(query.order_by(Job.finished_at, Job.seq))
        return [_Ended(seq, job_id, at, age) for seq, job_id, at, age in found if at is not None]


def _sizes(database: Database, blobs: Blobs, wanted: set[int]) -> Counter[int]:
    """How many bytes the files of jobs take, those of their shards included: by the job's seq."""
    whole = func.coalesce(Job.parent_seq, Job.seq)
    results = select(whole, func.sum(Artifact.bytes)).join(Artifact, Artifact.job_seq == Job.seq).group_by(whole)
    with database.read() as session:
        sizes = Counter({seq: int(total) for seq, total in session.execute(results) if seq in wanted})
        checkpoints = session.execute(select(whole, Job.checkpoint).where(Job.checkpoint.is_not(None))).all()
    for seq, path in checkpoints:
        if seq in wanted and path is not None:
            with suppress(BlobMissing):  # its owner, or another sweep, was faster
                sizes[seq] += blobs.size(path)
    return sizes
