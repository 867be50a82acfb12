"""Find files that no row refers to, left by a process that was killed, and rows whose file is missing.

Files are written before their row and deleted after it. So a file without a row is either new, or belongs to a running
attempt, or is orphaned.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.schemas.jobs import JobStatus
from core.storage.blobs import PREFIXES, BlobInfo, Blobs, source_path
from core.storage.clock import now
from core.storage.database import Database
from core.storage.tables import Artifact, AuditEntry, Dataset, DatasetImage, Job, Model, Preview

SLACK_SECONDS = 3600.0  # by which the clocks of the blob store and the database may differ
BATCH = 5000  # paths in one query
PATH_COLUMNS = (Artifact.blob, Preview.blob, DatasetImage.blob, Model.blob, Job.checkpoint)


@dataclass(frozen=True)
class MissingFile:
    """A missing file, and the id of the dataset, job or model whose row refers to it."""

    owner_id: str
    path: str


def find(database: Database, blobs: Blobs, older_than_seconds: float) -> Iterator[BlobInfo]:
    """Yield orphaned files that are older than `older_than_seconds`.

    A file that is older than the first row is skipped: it may belong to another database that will be restored.
    """
    before, first = _database_time(database) - older_than_seconds, _first_row(database) - SLACK_SECONDS
    for prefix in PREFIXES:
        old = (one for one in blobs.list_files(prefix) if first <= one.modified <= before)
        while batch := list(islice(old, BATCH)):
            yield from _unreferenced(database, batch)


def remove_empty_folders(database: Database, blobs: Blobs, older_than_seconds: float) -> None:
    """Remove folders that have been empty for `older_than_seconds`."""
    before = _database_time(database) - older_than_seconds
    for prefix in PREFIXES:
        blobs.remove_empty_folders(prefix, before)


def find_missing(database: Database, blobs: Blobs) -> Iterator[MissingFile]:
    """Yield files that rows refer to and that do not exist. A file replaced during the check is not reported."""
    for owner_id, path in _all_references(database):
        if not blobs.exists(path) and _is_referenced(database, path):
            yield MissingFile(owner_id, path)


def _database_time(database: Database) -> float:
    """Return the current time of the database's clock."""
    with database.read() as session:
        return session.scalars(select(now())).one()


def _first_row(database: Database) -> float:
    """Return the creation time of the oldest row, or infinity if there are no rows."""
    columns = (AuditEntry.at, Dataset.created_at, Job.created_at, Model.created_at)
    with database.read() as session:
        found = [session.scalar(select(func.min(column))) for column in columns]
    return min((at for at in found if at is not None), default=math.inf)


def _unreferenced(database: Database, found: Sequence[BlobInfo]) -> list[BlobInfo]:
    with database.read() as session:
        # Running attempts are read first: the rows of one that succeeds in between are then seen by the second query.
        attempts = tuple(_running_attempts(session))
        named = _referenced(session, [source_path(one.path) for one in found])
    return [one for one in found if source_path(one.path) not in named and not one.path.startswith(attempts)]


def _running_attempts(session: Session) -> Iterator[str]:
    """Yield the folder of each running attempt; its files may get a row later."""
    for job_id, token in session.execute(select(Job.id, Job.token).where(Job.status == JobStatus.RUNNING)):
        yield f"jobs/{job_id}/{token}/"


def _referenced(session: Session, paths: Sequence[str]) -> set[str]:
    """Return those of `paths` that a row refers to."""
    return {
        path for column in PATH_COLUMNS for path in session.scalars(select(column).where(column.in_(paths))) if path
    }


def _is_referenced(database: Database, path: str) -> bool:
    with database.read() as session:
        return bool(_referenced(session, [path]))


def _all_references(database: Database) -> list[tuple[str, str]]:
    """Return (id of the dataset, job or model, path of the file) for every file that a row refers to."""
    queries = (
        select(Job.id, Artifact.blob).join(Artifact, Artifact.job_seq == Job.seq),
        select(Job.id, Preview.blob).join(Preview, Preview.job_seq == Job.seq),
        select(Dataset.id, DatasetImage.blob).join(DatasetImage, DatasetImage.dataset_seq == Dataset.seq),
        select(Model.id, Model.blob),
        select(Job.id, Job.checkpoint).where(Job.checkpoint.is_not(None)),
    )
    with database.read() as session:
        return [(owner_id, path) for query in queries for owner_id, path in session.execute(query) if path]
