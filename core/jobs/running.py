"""What a worker writes while it works on a job. Every function raises LeaseLost if the lease is no longer valid."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert

from core.jobs import results, shards
from core.jobs.leases import JobLease, lock_leased
from core.jobs.results import NewArtifact
from core.schemas.jobs import Progress
from core.storage.blobs import StoredBlob
from core.storage.database import Database
from core.storage.tables import Metric


def begin(database: Database, lease: JobLease) -> int | None:
    """Record that the work begins. Return the attempt that the job's owner sees, or None if that is no change."""
    with database.write() as session:
        return shards.begin(lock_leased(session, lease))


def record(
    database: Database, lease: JobLease, progress: Progress, points: Sequence[tuple[int, Mapping[str, Any]]] = ()
) -> Progress:
    """Write a job's progress and the metrics measured since the last call, as pairs of (step, values).

    Returns the progress that the job's owner sees: of a shard, that of the whole job.
    """
    with database.write() as session:
        job = lock_leased(session, lease)
        if points:
            job.metrics = {**job.metrics, **points[-1][1]}
            steps = [step for step, _ in points]
            session.execute(delete(Metric).where(Metric.job_seq == lease.seq, Metric.step.in_(steps)))
            session.execute(
                insert(Metric),
                [{"job_seq": lease.seq, "step": step, "values": dict(values)} for step, values in points],
            )
        return shards.record_progress(session, job, progress)


def set_metrics(database: Database, lease: JobLease, metrics: Mapping[str, Any]) -> None:
    """Replace the metrics that the job's owner sees, such as those of an earlier attempt."""
    with database.write() as session:
        job = lock_leased(session, lease)
        (job.parent or job).metrics = dict(metrics)


def publish(database: Database, lease: JobLease, artifact: NewArtifact) -> list[str]:
    """Show an artifact before the job has ended. Return the paths of the files that it replaces."""
    with database.write() as session:
        return results.attach(lock_leased(session, lease), [artifact])


def checkpoint(database: Database, lease: JobLease, stored: StoredBlob) -> list[str]:
    """Make `stored` the checkpoint from which the next attempt goes on. Return the paths of the files it replaces."""
    with database.write() as session:
        job = lock_leased(session, lease)
        replaced = [job.checkpoint] if job.checkpoint and job.checkpoint != stored.blob else []
        job.checkpoint = stored.blob
        job.failures = 0
        return replaced
