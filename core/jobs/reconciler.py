"""Notify again for jobs that wait unnoticed: a lost message, a wiped broker or a killed worker costs seconds."""

import structlog
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from core.broker.notifier import JobNotifier
from core.jobs import leases
from core.runtime.background import BackgroundThread
from core.schemas.jobs import Queue
from core.storage.database import Database

MAX_NOTIFICATIONS = 1000  # per queue and round

log = structlog.get_logger()


class Reconciler:
    """A thread that looks every few seconds for jobs that wait unheard, and for those whose worker is lost for good.

    It rings only while a queue holds fewer messages than there are jobs to claim, so messages never pile up. Any
    number of processes may run one.
    """

    def __init__(self, database: Database, notifier: JobNotifier, seconds: float) -> None:
        self._database, self._notifier, self._seconds = database, notifier, seconds
        expected = (SQLAlchemyError, RedisError, OSError)
        self._thread = BackgroundThread("reconciler", self.look, every_seconds=seconds, expected=expected)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop(join_seconds=self._seconds + 15)

    def look(self) -> None:
        """One round. Raises SQLAlchemyError or RedisError where one of the two does not answer."""
        for job_id in leases.settle_lost(self._database):
            log.warning("job_lost_its_worker", job_id=job_id)
        for queue in Queue:
            missing = leases.waiting(self._database, queue) - self._notifier.pending(queue)
            if missing <= 0:
                continue
            for job_id in leases.unheard(self._database, queue, self._seconds, min(missing, MAX_NOTIFICATIONS)):
                if self._notifier.notify(queue, job_id):
                    log.info("rung_again", job_id=job_id, queue=queue)
