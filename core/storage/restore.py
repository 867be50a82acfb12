"""Restore a backup: all of it, or nothing.

Files are stored first, then the rows in one transaction. If a restore fails, it deletes the files that it stored. If it
is killed, it leaves a marker file, and the next restore deletes the files.
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
from core.storage.blobs import PREFIXES, Blobs
from core.storage.database import Database, UnknownCommit

MARKER = "restoring"  # path of a file that exists during a restore
CHUNK_BYTES = 1 << 20


class NotEmpty(RuntimeError):
    """The database or the blob store is not empty."""


def restore(database: Database, blobs: Blobs, source: IO[bytes]) -> Summary:
    """Restore a backup into an empty database and an empty blob store.

    Jobs that were running are queued again. Raises BadArchive or NotEmpty, and then nothing has changed.
    """
    _require_no_rows(database, blobs)
    with _read_errors_as_bad_archive():
        members = backup_archive.read(source)
        schema_revision = _read_revision(members)
        _require_no_files(blobs)
        blobs.put(MARKER, b"")
        stored: set[str] = set()
        try:
            summary = _restore(database, blobs, members, schema_revision, stored)
        except UnknownCommit:
            raise  # keep the files and the marker: the next restore deletes them if there are no rows
        except BaseException:
            if _is_known_empty(database):
                blobs.delete(*stored, MARKER)
            raise
        blobs.delete(MARKER)
        return summary


def clear_stale_marker(database: Database, blobs: Blobs) -> None:
    """Delete the marker of a killed restore if the database has rows.

    The files then belong to these rows, and the next restore must not delete them.
    """
    with suppress(NotEmpty):
        _require_no_rows(database, blobs)


def _require_no_rows(database: Database, blobs: Blobs) -> None:
    """Raise NotEmpty if the database has rows, and then delete the marker."""
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
        raise BadArchive(f"it cannot be read to the end: {error}") from error


def _restore(
    database: Database, blobs: Blobs, members: Iterator[tuple[str, IO[bytes]]], schema_revision: str, stored: set[str]
) -> Summary:
    with ExitStack() as open_files:
        tables: dict[str, IO[bytes]] = {}
        found: dict[str, ArchiveEntry] = {}
        contents: dict[str, ArchiveEntry] | None = None
        for name, content in members:
            if name.startswith(backup_archive.BLOBS):
                found[name] = _store(blobs, name, content, stored)
            elif name.startswith(backup_archive.ROWS):
                lines = open_files.enter_context(tempfile.TemporaryFile())
                found[name] = _spool(name, content, lines)
                tables[name.removeprefix(backup_archive.ROWS).removesuffix(".jsonl")] = lines
            elif name == backup_archive.CONTENTS:
                contents = backup_archive.read_contents(content.read())
        _verify(contents, found)
        listed = {
            name.removeprefix(backup_archive.BLOBS) for name in contents or {} if name.startswith(backup_archive.BLOBS)
        }
        blobs.delete(*(stored - listed))
        rows = database.fill_at_revision(schema_revision, lambda connection: _insert(connection, tables))
    return Summary(rows, len(listed))


def _read_revision(members: Iterator[tuple[str, IO[bytes]]]) -> str:
    """Return the schema revision of the backup. Raises BadArchive if this release does not know it."""
    name, content = next(members, ("", None))
    if name != backup_archive.HEADER or content is None:
        raise BadArchive("it does not begin like a backup")
    schema_revision = backup_archive.read_header(content.read(CHUNK_BYTES))
    known = revision.known()
    if schema_revision not in known:
        raise BadArchive(
            f"its schema is {schema_revision}, newer than that of this release ({known[-1]}): upgrade first"
        )
    return schema_revision


def _store(blobs: Blobs, name: str, content: IO[bytes], stored: set[str]) -> ArchiveEntry:
    path = name.removeprefix(backup_archive.BLOBS)
    stored.add(path)
    blob = blobs.put(path, content.read())
    return ArchiveEntry(name, blob.bytes, blob.sha256)


def _spool(name: str, content: IO[bytes], lines: IO[bytes]) -> ArchiveEntry:
    digest = hashlib.sha256()
    while chunk := content.read(CHUNK_BYTES):
        digest.update(chunk)
        lines.write(chunk)
    size = lines.tell()
    lines.seek(0)
    return ArchiveEntry(name, size, digest.hexdigest())


def _verify(contents: dict[str, ArchiveEntry] | None, found: dict[str, ArchiveEntry]) -> None:
    if contents is None:
        raise BadArchive("it was cut short: the list of contents at its end is missing")
    for name, entry in contents.items():
        if name not in found:
            raise BadArchive(f"{name} is missing")
        if found[name] != entry:
            raise BadArchive(f"{name} was changed after the backup was made: its SHA-256 differs")


def _insert(connection: Connection, tables: dict[str, IO[bytes]]) -> int:
    """Insert the rows into the tables of their schema revision. Return their number."""
    _require_empty_tables(connection)
    existing = tables_of(connection)
    if unknown := set(tables) - {table.name for table in existing}:
        raise BadArchive(f"it contains rows of {', '.join(sorted(unknown))}, which is not in its schema")
    count = 0
    for table in existing:
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
    """Return the row to insert. A running job is queued again, without counting its attempt as a failure."""
    if set(row) != set(table.columns.keys()):
        raise BadArchive(f"it contains a row of {table.name} whose columns are not those of its schema")
    if table.name == "jobs" and row["status"] == JobStatus.RUNNING:
        failures = "failures" if "failures" in row else "strikes"  # the name before revision 0005
        row.update({"status": JobStatus.QUEUED.value, failures: max(row[failures] - 1, 0)})
    if table.name == "jobs" and row["status"] == JobStatus.QUEUED:
        void = {"worker", "lease_until", "leased_at", "notified_at", "rung_at"} & set(row)
        row.update(dict.fromkeys(void))
    return row


def _advance_sequence(connection: Connection, table: Table) -> None:
    """Set the sequence of `seq` to the newest row on PostgreSQL, which does not do so on insert."""
    if connection.dialect.name == "postgresql" and "seq" in table.columns:
        newest = connection.scalar(select(func.max(table.c.seq)))
        if newest is not None:
            setting = text("SELECT setval(pg_get_serial_sequence(:name, 'seq'), :newest)")
            connection.execute(setting, {"name": table.name, "newest": newest})


def _is_known_empty(database: Database) -> bool:
    """Return True if the database has no rows, False if it has some or does not answer."""
    try:
        with database.engine.connect() as connection:
            _require_empty_tables(connection)
    except (NotEmpty, SQLAlchemyError):
        return False
    return True


def _require_empty_tables(connection: Connection) -> None:
    for table in tables_of(connection):
        # LIMIT 1 instead of a count, because each sweep runs this.
        if connection.execute(select(table).limit(1)).first() is not None:
            raise NotEmpty(f"the database is not empty: {table.name} has rows. Restore into an empty one")


def _require_no_files(blobs: Blobs) -> None:
    files = [path for path in blobs.paths() if path.startswith(PREFIXES) or path == MARKER]
    if files and MARKER not in files:
        raise NotEmpty(f"the blob store is not empty: it contains {files[0]}. Restore into an empty one")
    blobs.delete(*files)  # left by a restore that was killed
