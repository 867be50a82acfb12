"""A backup of rows and files while both are in use.

The rows are read in one transaction, which sees one moment of the database. Checkpoints of jobs that go on, which may
be replaced at any time, are copied as its first act, all other files after it; one that was deleted or replaced
meanwhile is missing, or another than its row says. Then the rows are read again, and the files that are new to them
copied, until a snapshot's files are all there. Every snapshot but the first has few files to copy, so this comes to an
end while jobs go on.
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

References = dict[str, str | None]  # path of a file that rows name -> SHA-256, None where the row does not say


class BackupFailed(RuntimeError):
    """The message says why."""


@dataclass(frozen=True)
class Summary:
    """How much was written or read."""

    rows: int
    files: int


@dataclass(frozen=True)
class _Snapshot:
    """What one transaction saw: a file of lines a table, and the files that its rows name."""

    tables: dict[str, IO[bytes]]
    rows: int
    references: References


def back_up(database: Database, blobs: Blobs, target: Path) -> Summary:
    """Write a backup to `target`, which appears when it is whole, for its owner's eyes. Raises BackupFailed."""
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
    """Keys' hashes and webhooks' secrets are in it."""
    return os.open(path, flags, 0o600)


def _write(database: Database, blobs: Blobs, file: IO[bytes]) -> Summary:
    with closing(Writer(file, revision.check(database), time.time())) as writer:
        return _write_all(database, blobs, writer)


def _write_all(database: Database, blobs: Blobs, writer: Writer) -> Summary:
    copied: dict[str, ArchiveEntry] = {}
    lost: References = {}
    for _ in range(MAX_SNAPSHOTS):
        with ExitStack() as open_files:
            with _snapshot_transaction(database) as connection:
                missed = _copy(blobs, writer, _checkpoints(connection), copied)
                snapshot = None if missed else _read_tables(connection, open_files)
            if snapshot is not None:
                missed = _copy(blobs, writer, snapshot.references, copied)
                if not missed:
                    return _finish(writer, snapshot, copied)
            if still := sorted(path for path, sha256 in missed.items() if lost.get(path, "") == sha256):
                raise BackupFailed(
                    f"rows name files that are not there or not as they were stored: {', '.join(still[:5])}"
                    + (f" and {len(still) - 5} more" if len(still) > 5 else "")
                )
            lost = missed
    raise BackupFailed("files are replaced faster than they can be copied")


@contextmanager
def _snapshot_transaction(database: Database) -> Iterator[Connection]:
    """A transaction that sees the database as it was at its first query."""
    with database.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


def _checkpoints(connection: Connection) -> References:
    """Of jobs that have not ended."""
    going_on = Job.status.in_([status for status in JobStatus if not status.final])
    return dict.fromkeys(connection.scalars(select(Job.checkpoint).where(Job.checkpoint.is_not(None), going_on)))


def _read_tables(connection: Connection, open_files: ExitStack) -> _Snapshot:
    tables: dict[str, IO[bytes]] = {}
    references: References = {}
    rows = 0
    for table in tables_of(connection):
        lines = open_files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed by whoever reads it
        for row in _rows(connection, table):
            lines.write(backup_archive.encode_row(row))
            references.update(_references(table.name, row))
            rows += 1
        tables[table.name] = lines
    return _Snapshot(tables, rows, references)


def tables_of(connection: Connection) -> list[Table]:
    """As they are in this database, those first that others refer to."""
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
    """Copy what was not yet; gives what could not be, as its rows describe it."""
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
