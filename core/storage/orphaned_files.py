"""Files that no row names, left by who was killed between a file and its row; and rows whose file is not there.

A row comes after its files, and goes before them: a file without a row is therefore young, of an attempt that runs, or
of nobody.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.schemas.jobs import JobStatus
from core.storage.blobs import BlobInfo, Blobs
from core.storage.clock import now
from core.storage.database import Database
from core.storage.tables import Artifact, AuditEntry, Dataset, DatasetImage, Job, Model

OURS = ("datasets/", "jobs/", "models/")  # the store may be shared with others
SLACK_SECONDS = 3600.0  # by which the clocks of files and rows may differ
BATCH = 5000  # paths that one query asks for
PATH_COLUMNS = (Artifact.blob, DatasetImage.blob, Model.blob, Job.checkpoint)


@dataclass(frozen=True)
class MissingFile:
    """A file that is not there, and the id of what lacks it."""

    owner_id: str
    path: str


def find(database: Database, blobs: Blobs, older_than_seconds: float) -> Iterator[BlobInfo]:
    """Files of nobody that were written so long ago that whoever wrote them would have named them by now.

    What is older than the first row was written for another database, which may come back.
    """
    before, first = _database_time(database) - older_than_seconds, _first_row(database) - SLACK_SECONDS
    for prefix in OURS:
        old = (one for one in blobs.list_files(prefix) if first <= one.modified <= before)
        while batch := list(islice(old, BATCH)):
            yield from _unreferenced(database, batch)


def remove_empty_folders(database: Database, blobs: Blobs, older_than_seconds: float) -> None:
    """Remove folders that have been empty for so long."""
    before = _database_time(database) - older_than_seconds
    for prefix in OURS:
        blobs.remove_empty_folders(prefix, before)


def find_missing(database: Database, blobs: Blobs) -> Iterator[MissingFile]:
    """Rows whose file is not there, and was not replaced while we looked."""
    for owner_id, path in _all_references(database):
        if not blobs.exists(path) and _is_referenced(database, path):
            yield MissingFile(owner_id, path)


def _database_time(database: Database) -> float:
    """The database's present time."""
    with database.read() as session:
        return session.scalars(select(now())).one()


def _first_row(database: Database) -> float:
    """When the oldest row was made that says when it was; infinity where there is none."""
    columns = (AuditEntry.at, Dataset.created_at, Job.created_at, Model.created_at)
    with database.read() as session:
        found = [session.scalar(select(func.min(column))) for column in columns]
    return min((at for at in found if at is not None), default=math.inf)


def _unreferenced(database: Database, found: Sequence[BlobInfo]) -> list[BlobInfo]:
    with database.read() as session:
        # Running attempts first: one that succeeds in between has its rows by the time that these are read.
        attempts = tuple(_running_attempts(session))
        named = _referenced(session, [one.path for one in found])
    return [one for one in found if one.path not in named and not one.path.startswith(attempts)]


def _running_attempts(session: Session) -> Iterator[str]:
    """Where those write that may still name what they wrote."""
    for job_id, token in session.execute(select(Job.id, Job.token).where(Job.status == JobStatus.RUNNING)):
        yield f"jobs/{job_id}/{token}/"


def _referenced(session: Session, paths: Sequence[str]) -> set[str]:
    """Those of the paths that a row names."""
    return {
        path for column in PATH_COLUMNS for path in session.scalars(select(column).where(column.in_(paths))) if path
    }


def _is_referenced(database: Database, path: str) -> bool:
    with database.read() as session:
        return bool(_referenced(session, [path]))


def _all_references(database: Database) -> list[tuple[str, str]]:
    """The id of everything that has a file, and the file."""
    queries = (
        select(Job.id, Artifact.blob).join(Artifact, Artifact.job_seq == Job.seq),
        select(Dataset.id, DatasetImage.blob).join(DatasetImage, DatasetImage.dataset_seq == Dataset.seq),
        select(Model.id, Model.blob),
        select(Job.id, Job.checkpoint).where(Job.checkpoint.is_not(None)),
    )
    with database.read() as session:
        return [(owner_id, path) for query in queries for owner_id, path in session.execute(query) if path]
