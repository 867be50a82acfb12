"""Numbers of jobs, and how long they wait, for the metrics."""

from dataclasses import dataclass

from sqlalchemy import func, select

from core.schemas.jobs import JobKind, JobStatus, Queue
from core.storage.clock import now
from core.storage.database import Database
from core.storage.tables import Job


@dataclass(frozen=True)
class JobCounts:
    """jobs: number of jobs, as their owners see them, by (kind, status).

    depth: number of waiting jobs by (queue, kind), each shard counted.
    oldest_seconds: how long the oldest waiting job of each queue has waited.
    """

    jobs: dict[tuple[str, str], int]
    depth: dict[tuple[str, str], int]
    oldest_seconds: dict[str, float]


def count_jobs(database: Database) -> JobCounts:
    """Return the counts, with a 0 for every kind, status and queue that has none."""
    jobs = {(kind.value, status.value): 0 for kind in JobKind for status in JobStatus}
    depth = {(kind.queue.value, kind.value): 0 for kind in JobKind}
    oldest = {queue.value: 0.0 for queue in Queue}
    number = func.count(Job.seq)
    waiting = (Job.status == JobStatus.QUEUED) & (Job.shards == 0)
    with database.read() as session:
        of_owners = select(Job.kind, Job.status, number).where(Job.parent_seq.is_(None)).group_by(Job.kind, Job.status)
        for kind, status, count in session.execute(of_owners):
            jobs[str(kind), str(status)] = count
        of_queues = select(Job.queue, Job.kind, number, now() - func.min(Job.created_at)).where(waiting)
        for queue, kind, count, seconds in session.execute(of_queues.group_by(Job.queue, Job.kind)):
            depth[str(queue), str(kind)] = count
            oldest[str(queue)] = max(oldest[str(queue)], seconds)
    return JobCounts(jobs, depth, oldest)
