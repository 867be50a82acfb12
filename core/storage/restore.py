"""A backup comes back: all of it, or nothing.

Files are stored first, the rows last and in one transaction. What was stored by a restoration that failed is removed;
one that was killed leaves a mark, by which the next knows that the files are its own to remove.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from typing import IO, Any

from sqlalchemy import Connection, Table, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from core.schemas.jobs import JobStatus
from core.storage import backup_archive, revision
from core.storage.backup import ROWS_PER_BATCH, Summary, tables_of
from core.storage.backup_archive import ArchiveEntry, BadArchive
from core.storage.blobs import Blobs
from core.storage.database import Database, UnknownCommit

MARKER = "restoring"  # a file that is there while files are brought back
OURS = ("datasets/", "jobs/", "models/")  # a bucket may hold other things too
CHUNK_BYTES = 1 << 20


class NotEmpty(RuntimeError):
    """There are rows or files where the backup is to go."""


def restore(database: Database, blobs: Blobs, source: IO[bytes]) -> Summary:
    """Bring a backup back to an empty database and an empty place for files.

    Jobs that were running wait in their queues again. Raises BadArchive or NotEmpty, and then nothing has changed.
    """
    _require_no_rows(database, blobs)
    with _read_errors_as_bad_archive():
        parts = backup_archive.read(source)
        schema_revision = _read_revision(parts)
        _require_no_files(blobs)
        blobs.put(MARKER, b"")
        stored: set[str] = set()
        try:
            summary = _restore(database, blobs, parts, schema_revision, stored)
        except UnknownCommit:
            raise  # the next clears away what is not needed, and knows it by the mark
        except BaseException:
            if _is_known_empty(database):
                blobs.delete(*stored, MARKER)
            raise
        blobs.delete(MARKER)
        return summary


def clear_stale_marker(database: Database, blobs: Blobs) -> None:
    """Beside rows, files are theirs, and not those of a restoration that was killed before there were any."""
    with suppress(NotEmpty):
        _require_no_rows(database, blobs)


def _require_no_rows(database: Database, blobs: Blobs) -> None:
    """Raises NotEmpty, and then no mark stays beside the rows."""
    try:
        with database.engine.connect() as connection:
            _require_empty_tables(connection)
    except NotEmpty:
        blobs.delete(MARKER)
        raise


@contextmanager
def _read_errors_as_bad_archive() -> Iterator[None]:
    try:
        yield
    except backup_archive.UNREADABLE as error:
        raise BadArchive(f"it cannot be read to its end: {error}") from error


def _restore(
    database: Database, blobs: Blobs, parts: Iterator[tuple[str, IO[bytes]]], schema_revision: str, stored: set[str]
) -> Summary:
    with ExitStack() as open_files:
        tables: dict[str, IO[bytes]] = {}
        found: dict[str, ArchiveEntry] = {}
        contents: dict[str, ArchiveEntry] | None = None
        for name, content in parts:
            if name.startswith(backup_archive.BLOBS):
                found[name] = _store(blobs, name, content, stored)
            elif name.startswith(backup_archive.ROWS):
                lines = open_files.enter_context(tempfile.TemporaryFile())
                found[name] = _spool(name, content, lines)
                tables[name.removeprefix(backup_archive.ROWS).removesuffix(".jsonl")] = lines
            elif name == backup_archive.CONTENTS:
                contents = backup_archive.read_contents(content.read())
        _verify(contents, found)
        counted = {
            name.removeprefix(backup_archive.BLOBS) for name in contents or {} if name.startswith(backup_archive.BLOBS)
        }
        blobs.delete(*(stored - counted))
        rows = database.fill_at_revision(schema_revision, lambda connection: _insert(connection, tables))
    return Summary(rows, len(counted))


def _read_revision(parts: Iterator[tuple[str, IO[bytes]]]) -> str:
    """The revision of the backup's rows, one that this release knows."""
    name, content = next(parts, ("", None))
    if name != backup_archive.HEADER or content is None:
        raise BadArchive("it does not begin as a backup does")
    schema_revision = backup_archive.read_header(content.read(CHUNK_BYTES))
    known = revision.known()
    if schema_revision not in known:
        raise BadArchive(
            f"its rows are of the schema {schema_revision}, this release knows up to {known[-1]}: upgrade first"
        )
    return schema_revision


def _store(blobs: Blobs, name: str, content: IO[bytes], stored: set[str]) -> ArchiveEntry:
    path = name.removeprefix(backup_archive.BLOBS)
    stored.add(path)
    kept = blobs.put(path, content.read())
    return ArchiveEntry(name, kept.bytes, kept.sha256)


def _spool(name: str, content: IO[bytes], lines: IO[bytes]) -> ArchiveEntry:
    digest = hashlib.sha256()
    while piece := content.read(CHUNK_BYTES):
        digest.update(piece)
        lines.write(piece)
    size = lines.tell()
    lines.seek(0)
    return ArchiveEntry(name, size, digest.hexdigest())


def _verify(contents: dict[str, ArchiveEntry] | None, found: dict[str, ArchiveEntry]) -> None:
    if contents is None:
        raise BadArchive("it was cut short: the list of its contents, which comes last, is not there")
    for name, entry in contents.items():
        if name not in found:
            raise BadArchive(f"{name} is not in it")
        if found[name] != entry:
            raise BadArchive(f"{name} is not as it was when the backup was made: its SHA-256 is another")


def _insert(connection: Connection, tables: dict[str, IO[bytes]]) -> int:
    """Put the rows into tables of their own schema; gives how many."""
    _require_empty_tables(connection)
    present = tables_of(connection)
    if unknown := set(tables) - {table.name for table in present}:
        raise BadArchive(f"it holds rows of {', '.join(sorted(unknown))}, which its schema does not have")
    count = 0
    for table in present:
        if table.name not in tables:
            continue
        while lines := list(islice(tables[table.name], ROWS_PER_BATCH)):
            connection.execute(
                table.insert(), [_restored_row(table, backup_archive.decode_row(line)) for line in lines]
            )
            count += len(lines)
        _advance_sequence(connection, table)
    return count


def _restored_row(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """A running job's lease is void: it waits in its queue, and its interrupted attempt is held against nobody."""
    if set(row) != set(table.columns.keys()):
        raise BadArchive(f"it holds a row of {table.name} with other columns than its schema has")
    if table.name == "jobs" and row["status"] == JobStatus.RUNNING:
        failures = "failures" if "failures" in row else "strikes"  # its name before revision 0005
        row.update({"status": JobStatus.QUEUED.value, failures: max(row[failures] - 1, 0)})
    if table.name == "jobs" and row["status"] == JobStatus.QUEUED:
        void = {"worker", "lease_until", "leased_at", "notified_at", "rung_at"} & set(row)
        row.update(dict.fromkeys(void))
    return row


def _advance_sequence(connection: Connection, table: Table) -> None:
    """PostgreSQL numbers new rows from where the old ones end."""
    if connection.dialect.name == "postgresql" and "seq" in table.columns:
        newest = connection.scalar(select(func.max(table.c.seq)))
        if newest is not None:
            setting = text("SELECT setval(pg_get_serial_sequence(:name, 'seq'), :newest)")
            connection.execute(setting, {"name": table.name, "newest": newest})


def _is_known_empty(database: Database) -> bool:
    """False where nobody can say: then the files stay."""
    try:
        with database.engine.connect() as connection:
            _require_empty_tables(connection)
    except (NotEmpty, SQLAlchemyError):
        return False
    return True


def _require_empty_tables(connection: Connection) -> None:
    for table in tables_of(connection):
        if connection.execute(select(table).limit(1)).first() is not None:  # not counted: every sweep asks
            raise NotEmpty(f"the database is not empty: {table.name} has rows. Restore into an empty one")


def _require_no_files(blobs: Blobs) -> None:
    ours = [path for path in blobs.paths() if path.startswith(OURS) or path == MARKER]
    if ours and MARKER not in ours:
        raise NotEmpty(f"the place for files is not empty: it holds {ours[0]}. Restore into an empty one")
    blobs.delete(*ours)  # of a restoration that was killed
