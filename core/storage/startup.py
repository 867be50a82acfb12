"""Open the storage at the start of a process. Whatever is wrong with it is one sentence that says what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from obstore.exceptions import BaseError
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from core.runtime.settings import Settings
from core.runtime.startup import CannotStart, prepare_folder
from core.storage import revision
from core.storage.blobs import Blobs, local_folder
from core.storage.database import Database
from core.storage.failures import is_disk_full, sqlite_code

OTHER_FOLDER = "choose another folder with --data-dir or GENCONVNET_DATA_DIR"
OTHER_STORE = "choose another place with GENCONVNET_BLOB_URL"
OTHER_DATABASE = "name another database with GENCONVNET_DATABASE_URL"


@contextmanager
def open_database(settings: Settings, *, upgrade: bool = True) -> Iterator[Database]:
    """Yield the database with the newest schema. Raises CannotStart.

    If not `upgrade`, only an empty database gets its tables: commands do not change the schema below a service of an
    older release.
    """
    if settings.database_url is None:
        prepare_folder(settings.data_dir, "the data folder", OTHER_FOLDER)
    database = _connect(settings)
    try:
        with refusals_as_sentences(database.engine.url):
            if upgrade or _is_empty(database):
                database.migrate_when_available()
            revision.check(database)
            _check_writable(database)
        yield database
    finally:
        database.dispose()


def _connect(settings: Settings) -> Database:
    """Return the database of the settings, not yet connected. Raises CannotStart if its URL is invalid."""
    try:
        url = make_url(settings.rows_url)
    except (ArgumentError, ValueError) as error:
        raise CannotStart(f"GENCONVNET_DATABASE_URL is not a valid URL ({error}): correct it") from error
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise CannotStart("GENCONVNET_DATABASE_URL names no file: write sqlite:////srv/genconvnet.sqlite3, for example")
    if url.get_backend_name() == "sqlite" and url.database and settings.database_url is not None:
        prepare_folder(Path(url.database).parent, "the folder of the database", OTHER_DATABASE)
    return Database(settings.rows_url)


def check_blobs(settings: Settings) -> None:
    """Check that files can be written, and create their folder. Raises CannotStart.

    An object store is not asked: the service starts without it and says so in /readyz.
    """
    if settings.blob_url is None:
        prepare_folder(settings.data_dir, "the data folder", OTHER_FOLDER)
        prepare_folder(settings.data_dir / "blobs", "the folder of the files", OTHER_FOLDER)
    elif (folder := local_folder(settings.blob_url)) is not None:
        prepare_folder(folder, "the folder of the files", OTHER_STORE)
    try:
        Blobs(settings.blobs_url)
    except (BaseError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CannotStart(f"GENCONVNET_BLOB_URL or a variable AWS_* is invalid ({reason}): correct it") from error


@contextmanager
def refusals_as_sentences(url: URL) -> Iterator[None]:
    """Raise CannotStart for an error of the database at `url`."""
    try:
        yield
    except DBAPIError as error:
        reason = reason_of(error)
        name = url.database if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
        raise CannotStart(f"the database {name} cannot be used ({reason}): {advice_for(error)}") from error


def reason_of(error: DBAPIError) -> str:
    """Return the first line of what the database's driver says."""
    return next(iter(str(error.orig).strip().splitlines()), type(error.orig).__name__)


def advice_for(error: DBAPIError) -> str:
    """Return what to do if the database cannot be used because of `error`."""
    if is_disk_full(error):
        return "free some space on its disk"
    if not isinstance(error.orig, sqlite3.Error):
        return "is the server running, and is GENCONVNET_DATABASE_URL correct?"
    match sqlite_code(error.orig):
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return "the file is damaged or no SQLite database; move it away and restore a backup"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another program keeps it locked; stop that one"
    return f"make the file and its folder writable for this user, or {OTHER_FOLDER}; the whole path may have 500 bytes"


def _check_writable(database: Database) -> None:
    """Write to the database without a change. SQLite opens a file that may not be written without an error."""
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = version_num"))


def _is_empty(database: Database) -> bool:
    with database.engine.connect() as connection:
        return revision.current(connection) is None
