"""Tells those who follow a job that its worker is silent: a worker that was killed says nothing itself."""

from redis import Redis
from sqlalchemy.exc import SQLAlchemyError

from core.broker import events
from core.jobs import leases, requests
from core.runtime.background import BackgroundThread
from core.schemas.jobs import JobStatus, Progress
from core.storage.database import Database

LOOK_SECONDS = 2.0


class SilentJobsReporter:
    """A thread that sends a `progress` event when the worker of a job becomes silent, and when it is heard again.

    While a worker stores the results it sends no progress itself.
    """

    def __init__(self, database: Database, redis: Redis, heartbeat_seconds: float) -> None:
        self._database, self._redis, self._heartbeat_seconds = database, redis, heartbeat_seconds
        self._silent: set[str] = set()
        self._thread = BackgroundThread(
            "silent-jobs", self.report, every_seconds=LOOK_SECONDS, expected=(SQLAlchemyError,)
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop(join_seconds=LOOK_SECONDS + 15)

    def report(self) -> None:
        """Send an event about each job whose worker became silent, or was heard again, since the last call.

        Raises SQLAlchemyError.
        """
        silent = leases.find_silent(self._database, self._heartbeat_seconds)
        for job in requests.find_several(self._database, silent ^ self._silent):
            if job.status == JobStatus.RUNNING:
                known = Progress.model_validate(job.progress)
                progress = known.as_silent if job.id in silent else known
                events.publish(self._redis, job.id, "progress", progress.model_dump(), owner=job.owner_seq)
        self._silent = silent  # only now: if the jobs cannot be read, the next call tells of them
