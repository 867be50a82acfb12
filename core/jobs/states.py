"""The states of many jobs at once, for streams of events whose broker may have lost some."""

from sqlalchemy import or_, select

from core.broker.broadcaster import JobState, JobStates
from core.schemas.jobs import JobStatus
from core.storage.clock import now
from core.storage.database import Database
from core.storage.tables import Job

KEPT_SECONDS = 3600.0  # for which the state of a job that has ended is read


def read(database: Database, since: float | None = None) -> JobStates:
    """Return the jobs that the caller sees and that have not ended, or ended within KEPT_SECONDS or after `since`."""
    columns = (Job.id, Job.owner_seq, Job.status, Job.attempt, Job.error, Job.finished_at)
    unfinished = Job.status.in_([status for status in JobStatus if not status.final])
    lately = [Job.finished_at >= now() - KEPT_SECONDS]
    if since is not None:
        lately.append(Job.finished_at >= since)
    query = select(*columns).where(Job.parent_seq.is_(None), or_(unfinished, *lately))
    with database.read() as session:
        rows = session.execute(query.order_by(Job.seq)).all()
        at = session.scalars(select(now())).one()
    return JobStates(at, [JobState(id_, owner, JobStatus(status), *others) for id_, owner, status, *others in rows])
