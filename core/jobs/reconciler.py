"""Notify workers again of waiting jobs, so that a lost message, a wiped broker or a killed worker costs seconds."""

import structlog
from redis import RedisError
from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from core.broker.notifier import JobNotifier
from core.jobs import outcomes
from core.jobs.leases import CLOCK_SLACK, claimable
from core.runtime.background import BackgroundThread
from core.schemas.jobs import Queue
from core.storage.clock import now
from core.storage.database import Database
from core.storage.tables import Job, claim_order

MAX_NOTIFICATIONS = 1000  # per queue and round

log = structlog.get_logger()


class Reconciler:
    """A thread that runs `reconcile` every few seconds. Any number of processes may run one."""

    def __init__(self, database: Database, notifier: JobNotifier, seconds: float) -> None:
        self._database, self._notifier, self._seconds = database, notifier, seconds
        expected = (SQLAlchemyError, RedisError, OSError)
        self._thread = BackgroundThread("reconciler", self.reconcile, every_seconds=seconds, expected=expected)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop(join_seconds=self._seconds + 15)

    def reconcile(self) -> None:
        """End the jobs whose worker is lost for good, and notify workers of the jobs that wait without a message.

        It notifies only while a queue holds fewer messages than jobs, so messages never pile up. Raises SQLAlchemyError
        or RedisError if the database or the broker does not answer.
        """
        for job_id in outcomes.end_lost(self._database):
            log.warning("job_lost_its_worker", job_id=job_id)
        for queue in Queue:
            missing = count_claimable(self._database, queue) - self._notifier.pending(queue)
            if missing <= 0:
                continue
            for job_id in take_unnotified(self._database, queue, self._seconds, min(missing, MAX_NOTIFICATIONS)):
                if self._notifier.notify(queue, job_id):
                    log.info("notified_again", job_id=job_id, queue=queue)


def count_claimable(database: Database, queue: Queue) -> int:
    """Return the number of jobs in `queue` that a worker could claim now."""
    with database.read() as session:
        return session.scalar(select(func.count()).where(Job.queue == queue, claimable())) or 0


def take_unnotified(database: Database, queue: Queue, seconds: float, limit: int) -> list[str]:
    """Return the oldest claimable jobs of `queue` without a notification in the last `seconds`; mark them notified."""
    with database.write() as session:
        quiet = or_(Job.notified_at.is_(None), Job.notified_at < now() - seconds, Job.notified_at > now() + CLOCK_SLACK)
        query = select(Job.seq).where(Job.queue == queue, claimable(), quiet).order_by(*claim_order()).limit(limit)
        chosen = session.scalars(query.with_for_update(skip_locked=True)).all()
        if not chosen:
            return []
        ids = session.scalars(update(Job).where(Job.seq.in_(chosen)).values(notified_at=now()).returning(Job.id))
        return list(ids)
