"""What a job's owner does with it: create, read, list, cancel, resume and delete."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy import delete as remove
from sqlalchemy.orm import Session, lazyload

from core.jobs import outcomes, shards
from core.jobs.leases import is_leased, is_silent, is_worked_on
from core.jobs.shards import NewShard
from core.schemas.jobs import JobKind, JobStatus, Progress, Replay
from core.schemas.references import datasets_of
from core.storage import audit, quotas
from core.storage.access import UNSCOPED, owner_of
from core.storage.database import Database
from core.storage.errors import Conflict, NotFound
from core.storage.idempotency import Idempotency, create_once
from core.storage.tables import (
    Artifact,
    Dataset,
    Job,
    JobModel,
    Metric,
    Model,
    Preview,
    claim_order,
    new_id,
)

MAX_RUNNING_SHOWN, MAX_RUNNING_READ = 3, 500  # running jobs that a queued one is said to wait for
BEGINNING = Progress().model_dump(include={"stage", "iteration", "fraction", "eta_seconds"})
"""The progress of a job that starts anew, except how much there is to do."""


@dataclass(frozen=True)
class NewJob:
    """A valid request for a job, with all its parameters."""

    kind: JobKind
    params: dict[str, Any]
    preset: str | None = None
    dataset_id: str | None = None
    model_id: str | None = None
    model_ids: tuple[str, ...] = ()  # for jobs that need several
    request_id: str | None = None
    progress: Progress = field(default_factory=Progress)
    shards: tuple[NewShard, ...] = ()  # empty unless the job is split
    priority: int = 0
    time_limit_seconds: float | None = None
    model_name: str | None = None
    replays: Replay | None = None


def accept(database: Database, new: NewJob, idempotency: Idempotency | None = None) -> Job:
    """Write a new job's row. Once this returns, the job will be done.

    Returns the earlier job if the same key was used for the same request. Raises Conflict if the key was used for
    another request, NotFound if the dataset or a model does not exist, LimitReached if the owner may have no more jobs.
    """
    return create_once(database, Job, idempotency, lambda session: _add(session, new))


def _add(session: Session, new: NewJob) -> Job:
    quotas.check_job_limit(session)
    _lock_inputs(session, [new.dataset_id, *datasets_of(new.params).values()], [new.model_id, *new.model_ids])
    job = Job(
        id=new_id("job"),
        kind=new.kind,
        queue=new.kind.queue,
        status=JobStatus.QUEUED,
        owner_seq=owner_of(session),
        priority=new.priority,
        time_limit_seconds=new.time_limit_seconds,
        model_name=new.model_name,
        replays=new.replays.model_dump() if new.replays else None,
        preset=new.preset,
        params=new.params,
        dataset_id=new.dataset_id,
        model_id=new.model_id,
        request_id=new.request_id,
        progress=new.progress.model_dump(),
        shards=len(new.shards),
        artifacts=[],
        models=[JobModel(index=index, model_id=model_id) for index, model_id in enumerate(new.model_ids)],
    )
    session.add(job)
    session.flush()
    session.add_all(shards.split(job, new.shards))
    audit.add(session, "job.create", job.id, kind=new.kind.value)
    session.flush()
    session.refresh(job)
    return job


def find(database: Database, job_id: str) -> Job:
    """Return a job. Raises NotFound."""
    with database.read() as session:
        return _get(session, job_id)


def find_by_artifact(database: Database, sha256: str) -> Job | None:
    """Return the newest job that has made a file with this SHA-256, if any."""
    made = Job.artifacts.any(Artifact.sha256 == sha256)
    with database.read() as session:
        return session.scalar(select(Job).where(made).order_by(Job.seq.desc()).limit(1))


def find_several(database: Database, job_ids: Collection[str]) -> Sequence[Job]:
    """Return those of the jobs that exist, without their artifacts."""
    query = select(Job).where(Job.id.in_(job_ids)).options(lazyload(Job.artifacts))
    with database.read() as session:
        return session.scalars(query).all()


def find_artifacts(database: Database, wanted: Sequence[tuple[str, str]]) -> list[Artifact]:
    """Return the artifacts of these (job, name) pairs, in this order. Raises NotFound."""
    of_jobs, named = Job.id.in_({job_id for job_id, _ in wanted}), Artifact.name.in_({name for _, name in wanted})
    query = select(Job.id, Artifact).join(Artifact, Artifact.job_seq == Job.seq)
    with database.read() as session:
        rows = session.execute(query.where(of_jobs, named, Job.parent_seq.is_(None)))
        found = {(job_id, artifact.name): artifact for job_id, artifact in rows}
    for job_id, name in wanted:
        if (job_id, name) not in found:
            raise NotFound("artifact", f"{job_id}/artifacts/{name}")
    return [found[pair] for pair in wanted]


def queue_positions(database: Database, jobs: Sequence[Job]) -> dict[str, int]:
    """Return the position of each queued job in its queue, counted from 1."""
    waiting = [job for job in jobs if job.status == JobStatus.QUEUED]
    if not waiting:
        return {}
    with database.read() as session:
        order = func.row_number().over(partition_by=Job.queue, order_by=claim_order()).label("place")
        places = select(Job.id, order).where(Job.status == JobStatus.QUEUED, Job.parent_seq.is_(None)).subquery()
        rows = session.execute(
            select(places).where(places.c.id.in_([job.id for job in waiting])), execution_options=UNSCOPED
        )
        return {row.id: row.place for row in rows}


@dataclass(frozen=True)
class RunningJob:
    """A job that is worked on.

    id: None if it is another owner's. eta_seconds: the time left; None if it is not known.
    """

    id: str | None
    kind: JobKind
    eta_seconds: float | None


def find_running_before(
    database: Database, jobs: Sequence[Job], heartbeat_seconds: float
) -> dict[str, list[RunningJob]]:
    """Return for each queued job those of its queue that are worked on, at most MAX_RUNNING_SHOWN, by their time left.

    Of all owners, because all wait for the same workers.
    """
    waiting = [job for job in jobs if job.status == JobStatus.QUEUED]
    if not waiting:
        return {}
    running = (
        select(
            Job.id, Job.owner_seq, Job.queue, Job.kind, Job.progress, is_silent(heartbeat_seconds).label("is_silent")
        )
        .where(Job.status == JobStatus.RUNNING, Job.parent_seq.is_(None), is_worked_on())
        .where(Job.queue.in_({job.queue for job in waiting}))
        .order_by(Job.seq)
    )
    with database.read() as session:
        rows = session.execute(running.limit(MAX_RUNNING_READ), execution_options=UNSCOPED).all()
    left = {row.id: None if row.is_silent else row.progress.get("eta_seconds") for row in rows}
    rows = sorted(rows, key=lambda row: math.inf if (seconds := left[row.id]) is None else seconds)

    def shown_to(job: Job) -> list[RunningJob]:
        found = [row for row in rows if row.queue == job.queue][:MAX_RUNNING_SHOWN]
        ids = [row.id if row.owner_seq == job.owner_seq else None for row in found]
        return [RunningJob(job_id, JobKind(row.kind), left[row.id]) for job_id, row in zip(ids, found, strict=True)]

    return {job.id: shown_to(job) for job in waiting}


def listing(
    database: Database,
    *,
    kind: JobKind | None = None,
    status: JobStatus | None = None,
    limit: int,
    after: str | None = None,
) -> Sequence[Job]:
    """Return at most `limit` jobs, newest first; with `after`, those older than that job. Raises NotFound."""
    conditions: list[ColumnElement[bool]] = [Job.parent_seq.is_(None)]
    if kind is not None:
        conditions.append(Job.kind == kind)
    if status is not None:
        conditions.append(Job.status == status)
    with database.read() as session:
        if after is not None:
            conditions.append(Job.seq < _get(session, after).seq)
        return session.scalars(select(Job).where(*conditions).order_by(Job.seq.desc()).limit(limit)).all()


def metrics(database: Database, job_id: str) -> list[dict[str, Any]]:
    """Return all values measured while the job ran, in the order of its steps. Raises NotFound."""
    with database.read() as session:
        job = _get(session, job_id)
        rows = session.scalars(select(Metric).where(Metric.job_seq == job.seq).order_by(Metric.step))
        return [{"step": row.step, **row.values} for row in rows]


def cancel(database: Database, job_id: str) -> Job:
    """Cancel a job. A running job ends when its worker next renews the lease; a waiting or split one ends now.

    Raises NotFound, or Conflict if the job has already ended.
    """
    with database.write() as session:
        job = _get(session, job_id, lock=True)
        if JobStatus(job.status).final:
            ended = "been canceled" if job.status == JobStatus.CANCELED else job.status
            raise Conflict(f"job {job_id} has already {ended}")
        job.cancel_requested = True
        if job.shards or not is_leased(session, job):
            outcomes.end(session, job, JobStatus.CANCELED)
        audit.add(session, "job.cancel", job.id)
        return job


def resume(
    database: Database, job_id: str, params: dict[str, Any] | None = None, time_limit_seconds: float | None = None
) -> Job:
    """Put a job that has ended back into its queue, to go on from its last checkpoint, or to start anew without one.

    `params` and `time_limit_seconds` replace the job's if given. The time limit includes the time worked before. Of a
    split job, only the shards that have not succeeded are run again.

    Raises NotFound; Conflict if the job has not ended, its dataset or model was deleted, or it has no time left;
    LimitReached if the owner may have no more unfinished jobs.
    """
    with database.write() as session:
        job = _get(session, job_id, lock=True)
        if not JobStatus(job.status).final:
            raise Conflict(f"job {job_id} is still {job.status}")
        quotas.check_job_limit(session)
        learned_from = job.model_id if job.kind != JobKind.TRAIN else None  # a training job's model is its result
        try:
            datasets = [job.dataset_id, *datasets_of(job.params).values()]
            _lock_inputs(session, datasets, [learned_from, *(one.model_id for one in job.models)])
        except NotFound as error:
            raise Conflict(f"job {job_id} cannot go on: {error} any more") from error
        job.params = params if params is not None else job.params
        limit = time_limit_seconds if time_limit_seconds is not None else job.time_limit_seconds
        parts = shards.lock_shards(session, job)
        resumed = (job, *([part for part in parts if part.status != JobStatus.SUCCEEDED] or parts))
        _check_time_left(job, max(one.worked_seconds for one in resumed), limit)
        for one in resumed:
            one.status = JobStatus.QUEUED
            one.time_limit_seconds = limit
            one.cancel_requested = False
            one.error = one.finished_at = one.notified_at = one.worker = one.lease_until = None
            one.failures = 0
            again = BEGINNING if one.checkpoint is None and not one.shards else {"eta_seconds": None}
            one.progress = {**one.progress, **again}
        if parts:
            progress = [Progress.model_validate(part.progress) for part in parts]
            job.progress = Progress.of_shards(progress, Progress.model_validate(resumed[-1].progress)).model_dump()
        audit.add(session, "job.resume", job.id)
        return job


def delete(database: Database, job_id: str, finished_at: float | None = None) -> list[str]:
    """Delete a job that has ended. Return the paths of its files, for the caller to delete.

    Raises NotFound, or Conflict if the job has not ended, or has ended at another time than `finished_at`.
    """
    with database.write() as session:
        job = _get(session, job_id, lock=True)
        if not JobStatus(job.status).final:
            raise Conflict(f"job {job_id} is still {job.status}: cancel it first")
        if finished_at is not None and job.finished_at != finished_at:
            raise Conflict(f"job {job_id} was resumed and has ended again")
        files = _files(session, job)
        session.execute(remove(Job).where(Job.parent_seq == job.seq))
        session.delete(job)
        audit.add(session, "job.delete", job_id)
        return files


def _files(session: Session, job: Job) -> list[str]:
    parts = (job, *shards.lock_shards(session, job))
    artifacts = [artifact.blob for one in parts for artifact in one.artifacts]
    previews = session.scalars(select(Preview.blob).where(Preview.job_seq.in_([one.seq for one in parts])))
    return [*artifacts, *previews, *(one.checkpoint for one in parts if one.checkpoint)]


def _check_time_left(job: Job, worked: float, limit: float | None) -> None:
    if limit is not None and worked >= limit:
        detail = f"{worked:.1f} s were worked on it, and its time limit is {limit:g} s"
        raise Conflict(f"job {job.id} cannot go on: {detail}; ask for a larger time_limit_seconds")


def _get(session: Session, job_id: str, *, lock: bool = False) -> Job:
    query = select(Job).where(Job.id == job_id, Job.parent_seq.is_(None))
    job = session.scalar(query.with_for_update() if lock else query)
    if job is None:
        raise NotFound("job", job_id)
    return job


def _lock_inputs(session: Session, dataset_ids: Sequence[str | None], model_ids: Sequence[str | None]) -> None:
    """Lock the rows of the datasets and models against deletion until the transaction ends. Raises NotFound."""
    for dataset_id in dataset_ids:
        if dataset_id is not None:
            _lock_input(session, Dataset, "dataset", dataset_id)
    for model_id in model_ids:
        if model_id is not None:
            _lock_input(session, Model, "model", model_id)


def _lock_input(session: Session, table: type[Dataset] | type[Model], noun: str, id_: str) -> None:
    if session.scalar(select(table.seq).where(table.id == id_).with_for_update(read=True)) is None:
        raise NotFound(noun, id_)
