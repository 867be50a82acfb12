"""Notify workers that their queue holds a job. The message carries the job's id and nothing else.

Sending is best effort, because `core.jobs.reconciler` notifies again of every job that waits without a message.
"""

import structlog
from kombu.exceptions import OperationalError
from redis import RedisError

from core.broker.connection import RUN_TASK, celery_app, connect
from core.schemas.jobs import Queue

log = structlog.get_logger()


class JobNotifier:
    """Sends notifications, without waiting for a broker that is away."""

    def __init__(self, broker_url: str) -> None:
        self._celery = celery_app(broker_url)
        # Without this, kombu retries for seconds even with `retry=False`, while a client waits for its answer.
        self._celery.conf.broker_transport_options = {**self._celery.conf.broker_transport_options, "max_retries": 0}
        self._redis = connect(broker_url)

    def notify(self, queue: Queue, job_id: str) -> bool:
        """Notify the workers of `queue`. Return False if the broker did not take the message."""
        try:
            self._celery.send_task(RUN_TASK, args=[job_id], queue=queue.value, retry=False)
        except (OperationalError, RedisError, OSError) as error:
            log.warning("notification_failed", job_id=job_id, error=str(error))
            return False
        return True

    def pending(self, queue: Queue) -> int:
        """Return the number of messages that no worker has taken yet. Raises RedisError."""
        return int(self._redis.llen(queue.value))

    def close(self) -> None:
        self._celery.close()
        self._redis.close()
