"""A job that is split, and how every job ends.

Each shard of it is a row, claimed, leased and fenced like any other job; its owner sees the parent alone, whose state
follows from its shards'. Whoever changes more than a shard's own row locks the parent first, so that no two
transactions wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from core.schemas.jobs import JobStatus, Progress
from core.storage import webhooks
from core.storage.clock import now
from core.storage.tables import Job, new_id


@dataclass(frozen=True)
class NewShard:
    """A part of a job: `params` of its own, and the number, among all of the job's results, of its first."""

    first: int
    params: dict[str, Any]
    progress: Progress


def split(parent: Job, shards: Sequence[NewShard]) -> list[Job]:
    """The rows of a job's shards, to be written with it."""
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
    """Before a shard is locked, where the job is one."""
    if parent_seq is not None:
        session.scalar(select(Job).where(Job.seq == parent_seq).with_for_update())


def of(session: Session, parent: Job) -> Sequence[Job]:
    """The shards of a locked job, locked too."""
    query = select(Job).where(Job.parent_seq == parent.seq).order_by(Job.seq)
    return session.scalars(query.with_for_update()).all() if parent.shards else []


def begin(job: Job) -> int | None:
    """A claimed job's work begins: its owner's job runs. Gives that one's attempt, None where it is no news.

    A split job's attempt is the highest of its shards'.
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


def advance(session: Session, job: Job, progress: Progress) -> Progress:
    """How far a job has come; gives how far its owner's has."""
    job.progress = progress.model_dump()
    if job.parent is None:
        return progress
    session.flush()
    every = session.scalars(select(Job.progress).where(Job.parent_seq == job.parent_seq))
    joined = Progress.joined([Progress.model_validate(one) for one in every], progress)
    job.parent.progress = joined.model_dump()
    return joined


def leave(session: Session, job: Job) -> JobStatus | None:
    """Put a job back into its queue. Gives the state that its owner sees from now on, None where it is no news."""
    job.status = JobStatus.QUEUED
    job.worker = job.lease_until = job.notified_at = None
    if job.parent is None:
        return JobStatus.QUEUED
    session.flush()
    if session.scalar(select(Job.seq).where(_among(job.parent, JobStatus.RUNNING)).limit(1)) is not None:
        return None
    job.parent.status = JobStatus.QUEUED
    return JobStatus.QUEUED


def end(session: Session, job: Job, status: JobStatus, error: dict[str, Any] | None = None) -> bool:
    """The one place where a job comes to its end; tells whether its owner's job has.

    What is left of a split job ends with it, canceled: who works on that learns so at the next renewal of the lease.
    A shard that does not succeed ends the job, as does the last that succeeds.
    """
    job.status = status
    job.error = error
    job.worker = job.lease_until = None
    session.flush()
    _finish(session, Job.seq == job.seq)
    if job.shards:
        unfinished = _among(job, JobStatus.QUEUED, JobStatus.RUNNING)
        _finish(session, unfinished, status=JobStatus.CANCELED, worker=None, lease_until=None)
    session.refresh(job)
    if job.parent is None:
        webhooks.tell(session, job)
        return True
    if status == JobStatus.SUCCEEDED and _is_any_left(session, job.parent):
        return False
    return end(session, job.parent, status, error)


def _finish(session: Session, which: ColumnElement[bool], **values: Any) -> None:
    ended = update(Job).where(which).values(finished_at=now(), **values)
    session.execute(ended.execution_options(synchronize_session=False))  # what is looked at again is refreshed


def _is_any_left(session: Session, parent: Job) -> bool:
    left = _among(parent, *(status for status in JobStatus if status != JobStatus.SUCCEEDED))
    return session.scalar(select(Job.seq).where(left).limit(1)) is not None


def _among(parent: Job, *statuses: JobStatus) -> ColumnElement[bool]:
    return (Job.parent_seq == parent.seq) & Job.status.in_(statuses)
