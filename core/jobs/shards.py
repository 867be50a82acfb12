"""Split jobs. Each shard is a row that is claimed, leased and fenced like any other job.

The job's owner sees only the parent, whose status follows from its shards'. A transaction that changes more than a
shard's own row locks the parent first, so that no two transactions wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from core.schemas.jobs import JobStatus, Progress
from core.storage.tables import Job, new_id


@dataclass(frozen=True)
class NewShard:
    """One part of a job, with its own `params`. `first` is the number of its first result among all the job's."""

    first: int
    params: dict[str, Any]
    progress: Progress


def split(parent: Job, shards: Sequence[NewShard]) -> list[Job]:
    """Return the rows of a job's shards, to be added with the job."""
    return [
        Job(
            id=new_id("shard"),
            parent_seq=parent.seq,
            owner_seq=parent.owner_seq,
            priority=parent.priority,
            time_limit_seconds=parent.time_limit_seconds,
            first=shard.first,
            kind=parent.kind,
            queue=parent.queue,
            status=JobStatus.QUEUED,
            params=shard.params,
            model_id=parent.model_id,
            dataset_id=parent.dataset_id,
            request_id=parent.request_id,
            progress=shard.progress.model_dump(),
        )
        for shard in shards
    ]


def lock_parent(session: Session, parent_seq: int | None) -> None:
    """Lock the parent's row, if there is one; call it before the shard's row is locked."""
    if parent_seq is not None:
        session.scalar(select(Job).where(Job.seq == parent_seq).with_for_update())


def lock_shards(session: Session, parent: Job) -> Sequence[Job]:
    """Return the shards of a locked job, locked too."""
    query = select(Job).where(Job.parent_seq == parent.seq).order_by(Job.seq)
    return session.scalars(query.with_for_update()).all() if parent.shards else []


def begin(job: Job) -> int | None:
    """Mark the parent of a claimed shard as running.

    Returns the attempt that the job's owner sees, or None if that is no change. A parent's attempt is the highest of
    its shards'.
    """
    parent = job.parent
    if parent is None:
        return job.attempt
    attempt = max(parent.attempt, job.attempt)
    if parent.status == JobStatus.RUNNING and parent.attempt == attempt:
        return None
    parent.status, parent.attempt = JobStatus.RUNNING, attempt
    parent.started_at = parent.started_at or job.started_at
    return attempt


def record_progress(session: Session, job: Job, progress: Progress) -> Progress:
    """Write a job's progress. Return the progress that its owner sees: of a shard, that of the whole job."""
    job.progress = progress.model_dump()
    if job.parent is None:
        return progress
    session.flush()
    every = session.scalars(select(Job.progress).where(Job.parent_seq == job.parent_seq))
    joined = Progress.of_shards([Progress.model_validate(one) for one in every], progress)
    job.parent.progress = joined.model_dump()
    return joined


def requeue(session: Session, job: Job) -> JobStatus | None:
    """Put a job back into its queue. Return the status that its owner sees from now on, or None if that is no change.

    A parent is queued again once none of its shards is running.
    """
    job.status = JobStatus.QUEUED
    job.progress = {**job.progress, "eta_seconds": None}
    job.worker = job.lease_until = job.notified_at = None
    if job.parent is None:
        return JobStatus.QUEUED
    session.flush()
    if _has_shard(session, job.parent, JobStatus.RUNNING):
        return None
    job.parent.status = JobStatus.QUEUED
    job.parent.progress = {**job.parent.progress, "eta_seconds": None}
    return JobStatus.QUEUED


def unfinished(parent: Job) -> ColumnElement[bool]:
    """Select the shards of `parent` that have not ended."""
    return _with_status(parent, JobStatus.QUEUED, JobStatus.RUNNING)


def is_any_left(session: Session, parent: Job) -> bool:
    """Return True if a shard of `parent` has not succeeded."""
    return _has_shard(session, parent, *(status for status in JobStatus if status != JobStatus.SUCCEEDED))


def _has_shard(session: Session, parent: Job, *statuses: JobStatus) -> bool:
    return session.scalar(select(Job.seq).where(_with_status(parent, *statuses)).limit(1)) is not None


def _with_status(parent: Job, *statuses: JobStatus) -> ColumnElement[bool]:
    return (Job.parent_seq == parent.seq) & Job.status.in_(statuses)
