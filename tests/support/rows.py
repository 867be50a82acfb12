"""Create and change rows as requests of clients and the work of workers do."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select, update

from core.jobs import leases, outcomes, requests, running
from core.jobs.leases import JobLease
from core.jobs.requests import NewJob
from core.jobs.results import NewArtifact, NewModel
from core.jobs.shards import NewShard
from core.recipe.presets import PRESETS
from core.schemas.jobs import JobKind, Progress, Queue
from core.schemas.materials import MaterialMap
from core.storage import datasets
from core.storage.blobs import Blobs, StoredBlob
from core.storage.database import Database
from core.storage.idempotency import Idempotency
from core.storage.tables import Artifact, Base, Dataset, DatasetImage, Job, new_id

PARAMS: Mapping[str, Any] = PRESETS["quick"].seeded(7).model_dump(mode="json")
DONE = Progress(stage=1, stages=2, iteration=150, iterations=150, fraction=1.0, eta_seconds=0.0)
LONG = 60.0  # seconds, more than any test takes
SILENCE_SECONDS = 3600.0
# Deleting is faster than TRUNCATE, for which PostgreSQL makes new files.
TABLES = [table.name for table in reversed(Base.metadata.sorted_tables)]
_numbers = itertools.count()


def empty(database: Database) -> None:
    """Delete all rows."""
    with database.write() as session:
        for table in TABLES:
            session.connection().exec_driver_sql(f"DELETE FROM {table}")


def stored(path: str | None = None) -> StoredBlob:
    """Return the description of a file that does not exist."""
    return StoredBlob(path or f"nowhere/{next(_numbers)}", 3, "0" * 64)


def add_dataset(
    database: Database, name: str | None = None, pictures: int = 1, idempotency: Idempotency | None = None
) -> Dataset:
    dataset = Dataset(id=new_id("dataset"), name=name, images=[])
    for index in range(pictures):
        blob = stored(f"datasets/{dataset.id}/{index}.png")
        dataset.images.append(
            DatasetImage(
                index=index,
                filename=f"{index}.png",
                width=8,
                height=8,
                mode="L",
                media_type="image/png",
                bytes=blob.bytes,
                sha256=blob.sha256,
                blob=blob.blob,
            )
        )
    return datasets.add(database, dataset, idempotency)


def train(dataset_id: str | None = None) -> NewJob:
    return NewJob(kind=JobKind.TRAIN, params=dict(PARAMS), preset="quick", dataset_id=dataset_id)


def sample(model_id: str | None = None) -> NewJob:
    return NewJob(kind=JobKind.SAMPLE, params={"count": 1, "steps": 1}, model_id=model_id)


def split(model_id: str | None = None, shards: int = 3) -> NewJob:
    """Return a sampling job of two pictures for each shard."""
    progress = Progress(stages=2, iterations=1)
    parts = (NewShard(2 * number, {"count": 2, "steps": 1}, progress) for number in range(shards))
    params = {"count": 2 * shards, "steps": 1}
    return NewJob(kind=JobKind.SAMPLE, params=params, model_id=model_id, shards=tuple(parts))


def classify(*model_ids: str, dataset_id: str | None = None) -> NewJob:
    params = {"model_ids": list(model_ids)}
    return NewJob(kind=JobKind.CLASSIFY, params=params, dataset_id=dataset_id, model_ids=model_ids)


def accept(database: Database, new: NewJob | None = None, idempotency: Idempotency | None = None) -> str:
    """Accept a job, by default a training job; return its id."""
    return requests.accept(database, new or train(), idempotency).id


def claim(database: Database, queue: Queue = Queue.TRAIN, *, worker: str = "w", seconds: float = LONG) -> JobLease:
    """Claim the next job of the queue, which must have one."""
    lease = leases.claim(database, queue, worker, seconds)
    assert lease is not None
    return lease


def claimed(database: Database, new: NewJob | None = None) -> JobLease:
    """Accept a job and claim it; it must be the only one in its queue."""
    new = new or train()
    job_id = accept(database, new)
    lease = claim(database, new.kind.queue)
    assert lease.job_id == job_id
    return lease


def ended(database: Database, blobs: Blobs, days: float = 0.0) -> JobLease:
    """Add a job that succeeded `days` ago, with a picture of 100 bytes, a checkpoint of 200 and a model of 50."""
    lease = claimed(database)
    running.checkpoint(database, lease, blobs.put(lease.path("checkpoint"), bytes(200)))
    picture = replace(artifact("a.png"), stored=blobs.put(lease.path("a.png"), bytes(100)))
    model = replace(new_model(), stored=blobs.put(lease.path("model"), bytes(50)))
    outcomes.succeed(database, lease, [picture], DONE, model=model)
    alter(database, lease.job_id, finished_at=time.time() - days * 86_400)
    return lease


def artifact(name: str = "synthesized-000.png", path: str | None = None) -> NewArtifact:
    return NewArtifact(name, "image/png", stored(path), 8, 8)


def new_model(params: Mapping[str, Any] = PARAMS, channels: int = 1, maps: Sequence[MaterialMap] = ()) -> NewModel:
    return NewModel(new_id("model"), stored(), dict(params), channels, maps)


def add_model(database: Database, channels: int = 1, maps: Sequence[MaterialMap] = (), **params: Any) -> str:
    """Add a model and the training job that made it; return its id. `params` replace parameters of the job."""
    lease = claimed(database)
    model = new_model({**PARAMS, **params}, channels, maps)
    outcomes.succeed(database, lease, [], DONE, model=model)
    return model.id


def row(database: Database, job_id: str) -> Job:
    return requests.find(database, job_id)


def shards(database: Database, job_id: str) -> list[Job]:
    """Return the rows of a split job's shards."""
    with database.read() as session:
        parent = session.scalars(select(Job.seq).where(Job.id == job_id)).one()
        return list(session.scalars(select(Job).where(Job.parent_seq == parent).order_by(Job.seq)))


def alter(database: Database, job_id: str, **values: Any) -> None:
    """Set columns of the job's row directly."""
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def expire(database: Database, job_id: str) -> None:
    """Set the end of the job's lease to the past."""
    alter(database, job_id, lease_until=1.0)


def silence(database: Database, job_id: str) -> None:
    """Set the last renewal of the job's lease to a while ago, though the lease has not ended."""
    alter(database, job_id, leased_at=time.time() - SILENCE_SECONDS)


def lose_worker(database: Database, job_id: str) -> None:
    """Take the job from its worker as if that were gone: nobody works on it, and its lease has not ended."""
    alter(database, job_id, token=Job.token + 1, leased_at=time.time() - SILENCE_SECONDS)


def everything(database: Database, job_id: str) -> dict[str, Any]:
    """Return everything stored about a job, for comparisons."""
    job = row(database, job_id)
    columns = {column.key: getattr(job, column.key) for column in Job.__table__.columns}
    files = [{column.key: getattr(one, column.key) for column in Artifact.__table__.columns} for one in job.artifacts]
    return {**columns, "artifacts": files, "metrics_series": requests.metrics(database, job_id)}


def count(database: Database) -> dict[str, int]:
    """Return the number of rows of each table, except of the audit log, which only grows."""
    with database.read() as session:
        return {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
            if name != "audit_log"
        }
