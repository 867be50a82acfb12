"""Back up rows and files while the service is running.

The rows are read in one transaction, so they are a consistent snapshot. Files are not part of it and may be replaced or
deleted meanwhile. Checkpoints of unfinished jobs, which are replaced most often, are therefore copied at the start of
the transaction, and all other files after it. If a file is missing or differs from its row, a new snapshot is taken and
only the files that are new in it are copied, until a snapshot is complete. Later snapshots have few files to copy, so
the backup ends although jobs are running.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import JSON, Connection, MetaData, Table, select

from core.schemas.jobs import JobStatus
from core.storage import backup_archive, revision
from core.storage.backup_archive import ArchiveEntry, Writer
from core.storage.blobs import BlobMissing, Blobs
from core.storage.database import Database
from core.storage.tables import Job

MAX_SNAPSHOTS = 50
ROWS_PER_BATCH = 500

References = dict[str, str | None]  # path of a file that rows refer to -> its SHA-256, None for checkpoints


class BackupFailed(RuntimeError):
    """The backup could not be made. The message says why."""


@dataclass(frozen=True)
class Summary:
    """The number of rows and files that were written or restored."""

    rows: int
    files: int


@dataclass(frozen=True)
class _Snapshot:
    """The rows of one transaction: a file of JSON Lines for each table, and the files that the rows refer to."""

    tables: dict[str, IO[bytes]]
    rows: int
    references: References


def back_up(database: Database, blobs: Blobs, target: Path) -> Summary:
    """Write a backup to `target`, with mode 0600. `target` exists only once it is complete. Raises BackupFailed."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        with open(part, "xb", opener=_open_private) as file:
            summary = _write(database, blobs, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
    return summary


def _open_private(path: str, flags: int) -> int:
    """Open a file with mode 0600, because it will contain the secrets of webhooks and the hashes of keys."""
    return os.open(path, flags, 0o600)


def _write(database: Database, blobs: Blobs, file: IO[bytes]) -> Summary:
    with closing(Writer(file, revision.check(database), time.time())) as writer:
        return _copy_until_complete(database, blobs, writer)


def _copy_until_complete(database: Database, blobs: Blobs, writer: Writer) -> Summary:
    copied: dict[str, ArchiveEntry] = {}
    missed_before: References = {}
    for _ in range(MAX_SNAPSHOTS):
        with ExitStack() as open_files:
            with _snapshot_transaction(database) as connection:
                missed = _copy(blobs, writer, _checkpoints(connection), copied)
                snapshot = None if missed else _read_tables(connection, open_files)
            if snapshot is not None:
                missed = _copy(blobs, writer, snapshot.references, copied)
                if not missed:
                    return _finish(writer, snapshot, copied)
            _refuse_missed_twice(missed, missed_before)
            missed_before = missed
    raise BackupFailed("files are replaced faster than they can be copied")


def _refuse_missed_twice(missed: References, missed_before: References) -> None:
    """Raise BackupFailed for files that two snapshots refer to and that are missing or differ from their row."""
    paths = sorted(path for path, sha256 in missed.items() if path in missed_before and missed_before[path] == sha256)
    if paths:
        more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
        raise BackupFailed(f"rows refer to files that are missing or were changed: {', '.join(paths[:5])}{more}")


@contextmanager
def _snapshot_transaction(database: Database) -> Iterator[Connection]:
    """Run a transaction that sees the database as it was at its first query."""
    with database.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


def _checkpoints(connection: Connection) -> References:
    """Return the checkpoints of unfinished jobs."""
    unfinished = Job.status.in_([status for status in JobStatus if not status.final])
    return dict.fromkeys(connection.scalars(select(Job.checkpoint).where(Job.checkpoint.is_not(None), unfinished)))


def _read_tables(connection: Connection, open_files: ExitStack) -> _Snapshot:
    tables: dict[str, IO[bytes]] = {}
    references: References = {}
    rows = 0
    for table in tables_of(connection):
        lines = open_files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed by the caller
        for row in _rows(connection, table):
            lines.write(backup_archive.encode_row(row))
            references.update(_references(table.name, row))
            rows += 1
        tables[table.name] = lines
    return _Snapshot(tables, rows, references)


def tables_of(connection: Connection) -> list[Table]:
    """Return the tables as they are in the database, in the order of their foreign keys."""
    found = MetaData()
    found.reflect(connection)
    tables = [table for table in found.sorted_tables if table.name != "alembic_version"]
    for table in tables:
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True
    return tables


def _rows(connection: Connection, table: Table) -> Iterator[dict[str, Any]]:
    query = select(table).order_by(*table.primary_key.columns)
    for row in connection.execution_options(yield_per=ROWS_PER_BATCH).execute(query).mappings():
        yield dict(row)


def _references(table: str, row: dict[str, Any]) -> References:
    if row.get("blob"):
        return {row["blob"]: row["sha256"]}
    return {row["checkpoint"]: None} if table == "jobs" and row["checkpoint"] else {}


def _copy(blobs: Blobs, writer: Writer, references: References, copied: dict[str, ArchiveEntry]) -> References:
    """Copy files that are not in the archive yet. Return those that are missing or differ from their row."""
    missed: References = {}
    for path, sha256 in references.items():
        if path in copied and sha256 in (None, copied[path].sha256):
            continue
        try:
            content = blobs.get(path)
        except BlobMissing:
            missed[path] = sha256
            continue
        if sha256 not in (None, hashlib.sha256(content).hexdigest()):
            missed[path] = sha256
            continue
        copied[path] = writer.add(f"{backup_archive.BLOBS}{path}", content)
    return missed


def _finish(writer: Writer, snapshot: _Snapshot, copied: dict[str, ArchiveEntry]) -> Summary:
    entries = [copied[path] for path in snapshot.references]
    for name, lines in snapshot.tables.items():
        size = lines.tell()
        lines.seek(0)
        sha256 = hashlib.file_digest(lines, "sha256").hexdigest()  # type: ignore[arg-type]
        lines.seek(0)
        entries.append(writer.copy(f"{backup_archive.ROWS}{name}.jsonl", lines, size, sha256))
    writer.finish(entries)
    return Summary(snapshot.rows, len(snapshot.references))
