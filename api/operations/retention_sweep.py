"""Deletes expired jobs, orphaned files and old idempotency keys: by `genconvnet sweep`, and by a thread of the API."""

from dataclasses import dataclass, field

import structlog
from obstore.exceptions import BaseError as BlobError
from sqlalchemy.exc import SQLAlchemyError

from api.settings import ApiSettings
from core.jobs import retention
from core.jobs.retention import OutdatedJob, RetentionPolicy
from core.runtime.background import BackgroundThread
from core.schemas.times import DAY_SECONDS
from core.storage import orphaned_files, restore
from core.storage.blobs import BlobInfo, Blobs
from core.storage.database import Database

FIRST_SWEEP_SECONDS = 60.0  # after the start, so that a process that is restarted often sweeps too

log = structlog.get_logger()


@dataclass(frozen=True)
class SweepResult:
    """What was deleted or, in a dry run, would be: jobs, orphaned files, and the number of idempotency keys.

    database_bytes: by how much the file of the database became smaller.
    """

    jobs: list[OutdatedJob]
    files: list[BlobInfo]
    keys: int
    database_bytes: int = field(default=0, compare=False)

    @property
    def bytes(self) -> int:
        return sum(job.bytes for job in self.jobs) + sum(file.bytes for file in self.files)


def sweep(database: Database, blobs: Blobs, settings: ApiSettings, *, dry_run: bool = False) -> SweepResult:
    """Delete what the settings no longer keep, or only list it. Several processes may sweep at once."""
    policy = RetentionPolicy(settings.keep_jobs_days, settings.keep_bytes, settings.idempotency_days)
    age = settings.orphan_days * DAY_SECONDS
    files = list(orphaned_files.find(database, blobs, age))
    if not dry_run:
        blobs.delete(*(file.path for file in files))
        orphaned_files.remove_empty_folders(database, blobs, age)
        restore.clear_stale_marker(database, blobs)
    jobs = [
        job
        for job in retention.find_outdated(database, blobs, policy)
        if dry_run or retention.delete_job(database, blobs, job)
    ]
    keys = retention.count_old_keys(database, policy)
    if keys and not dry_run:
        retention.delete_old_keys(database, policy)
    return SweepResult(jobs, files, keys, 0 if dry_run else _release_space(database))


def _release_space(database: Database) -> int:
    """Return how many bytes the database's file gave back; if it cannot, that undoes nothing of the sweep."""
    try:
        return database.release_free_pages()
    except (SQLAlchemyError, OSError) as error:
        log.warning("database_not_shrunk", error=str(error))
        return 0


class RetentionSweeper:
    """A thread that calls `sweep` every `sweep_seconds`."""

    def __init__(self, database: Database, blobs: Blobs, settings: ApiSettings) -> None:
        self._database, self._blobs, self._settings = database, blobs, settings
        self._thread = BackgroundThread(
            "retention-sweeper",
            self._sweep,
            every_seconds=settings.sweep_seconds,
            first_after_seconds=min(FIRST_SWEEP_SECONDS, settings.sweep_seconds),
            expected=(SQLAlchemyError, BlobError, OSError),
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.request_stop()

    def _sweep(self) -> None:
        result = sweep(self._database, self._blobs, self._settings)
        if result.jobs or result.files or result.keys or result.database_bytes:
            log.info(
                "swept",
                jobs=len(result.jobs),
                files=len(result.files),
                keys=result.keys,
                freed_bytes=result.bytes,
                freed_database_bytes=result.database_bytes,
            )
