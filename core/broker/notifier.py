"""The doorbell: a message that carries a job's id and says that its queue holds work.

Ringing is best effort. `Reconciler` rings again for every job that waits unheard, so that a lost message, a wiped
broker or a killed worker costs seconds, never a job.
"""

import threading

import structlog
from kombu.exceptions import OperationalError
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from core.broker.connection import RUN_TASK, celery_app, connect
from core.schemas.jobs import Queue
from core.storage import leases
from core.storage.database import Database

MAX_RINGS = 1000  # at one look

log = structlog.get_logger()


class Bell:
    def __init__(self, broker_url: str) -> None:
        self._celery = celery_app(broker_url)
        # Else kombu, whatever send_task is told, tries again for seconds, while a client waits for its answer.
        self._celery.conf.broker_transport_options = {**self._celery.conf.broker_transport_options, "max_retries": 0}
        self._redis = connect(broker_url)

    def ring(self, queue: Queue, job_id: str) -> bool:
        """Tell the workers of `queue`; false where the broker did not take it, which the reconciler makes good."""
        try:
            self._celery.send_task(RUN_TASK, args=[job_id], queue=queue.value, retry=False)
        except (OperationalError, RedisError, OSError) as error:
            log.warning("bell_not_heard", job_id=job_id, error=str(error))
            return False
        return True

    def pending(self, queue: Queue) -> int:
        """Messages that no worker has taken yet. Raises RedisError."""
        return int(self._redis.llen(queue.value))

    def close(self) -> None:
        self._celery.close()
        self._redis.close()


class Reconciler:
    """A thread that looks every few seconds for jobs that wait unheard, and for those whose worker is lost for good.

    It rings only while a queue holds fewer messages than there are jobs to claim, so messages never pile up. Any
    number of processes may run one.
    """

    def __init__(self, database: Database, bell: Bell, seconds: float) -> None:
        self._database, self._bell, self._seconds = database, bell, seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=self._seconds + 15)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except (SQLAlchemyError, RedisError, OSError) as error:  # away for now: look again in a while
                log.warning("reconciler_waits", error=str(error))
            self._stopping.wait(self._seconds)

    def look(self) -> None:
        """One round. Raises SQLAlchemyError or RedisError where one of the two does not answer."""
        for job_id in leases.settle_lost(self._database):
            log.warning("job_lost_its_worker", job_id=job_id)
        for queue in Queue:
            missing = leases.waiting(self._database, queue) - self._bell.pending(queue)
            if missing <= 0:
                continue
            for job_id in leases.unheard(self._database, queue, self._seconds, min(missing, MAX_RINGS)):
                if self._bell.ring(queue, job_id):
                    log.info("rung_again", job_id=job_id, queue=queue)
