"""Connections, transactions and migrations, for SQLite and PostgreSQL."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from tenacity import (
    RetryCallState,
    Retrying,
    retry,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_delay,
    wait_fixed,
)

from core.storage.access import Access, AccessSession
from core.storage.failures import sqlite_code
from core.storage.revision import MIGRATIONS, known, refuse_newer

BUSY_TIMEOUT_SECONDS = 30
WAL_RETRY_SECONDS = 0.01
INCREMENTAL, VACUUM_PAGES = 2, 1000  # the mode in which SQLite gives free pages back on request; pages at a time
STARTUP_TIMEOUT_SECONDS, STARTUP_RETRY_SECONDS = 120, 1
MIGRATION_LOCK = 0x67656E63  # key of a PostgreSQL advisory lock: processes that start together migrate one at a time
POSTGRES_TIMEOUTS = {
    "connect_timeout": 5,
    "tcp_user_timeout": 15_000,  # milliseconds until sent data must be acknowledged
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

log = structlog.get_logger()


class UnknownCommit(OperationalError):
    """The connection was lost during COMMIT, so the transaction may or may not have taken effect."""


class Database:
    """Transactions on rows. `read` and `write` return a session that commits at the end, or rolls back on an error.

    SQLite allows one writer at a time. `write` takes the write lock at BEGIN (BEGIN IMMEDIATE), so that a transaction
    cannot fail with "database is locked" after it has read.
    """

    def __init__(self, url: str, *, keep_connections: bool = True) -> None:
        """Open the database at `url`. Without `keep_connections`, each transaction on PostgreSQL has one of its own."""
        self.engine = _engine(url, keep_connections)
        self.access = Access()
        self._writing = self.engine.execution_options(genconvnet_write=True)

    def scoped_to(self, access: Access) -> "Database":
        """Return the same database, restricted to the rows that `access` may see."""
        scoped = copy(self)
        scoped.access = access
        return scoped

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Run a transaction that only reads."""
        with self._session(self.engine) as session, session.begin():
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Run a transaction that writes. Raises UnknownCommit."""
        with self._session(self._writing) as session, _detect_unknown_commit(session), session.begin():
            yield session

    def _session(self, engine: Engine) -> Session:
        return AccessSession(engine, expire_on_commit=False, info={"access": self.access})

    def ping(self) -> None:
        """Raise SQLAlchemyError if the database does not answer or has not been migrated."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT version_num FROM alembic_version"))

    def migrate(self) -> None:
        """Upgrade the schema to the newest revision. Raises WrongSchema if it is one of a newer release."""
        with self._writing.connect() as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            if refuse_newer(connection) != known()[-1]:
                _Migrations(connection).up()

    def fill_at_revision(self, revision: str, fill: Callable[[Connection], int]) -> int:
        """Create the schema of `revision`, call `fill`, and upgrade to the newest revision, in one transaction.

        The database must be empty. Returns what `fill` returned. Raises UnknownCommit.
        """
        with self._writing.connect() as connection, _detect_unknown_commit(connection), connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            migrations = _Migrations(connection)
            migrations.up()
            migrations.down_to(revision)
            filled = fill(connection)
            migrations.up()
            return filled

    def migrate_when_available(self) -> None:
        """Wait until the server accepts connections, then migrate. Raises OperationalError after a timeout."""
        attempts = Retrying(
            retry=retry_if_exception_type(OperationalError),
            stop=stop_after_delay(0 if self.engine.dialect.name == "sqlite" else STARTUP_TIMEOUT_SECONDS),
            wait=wait_fixed(STARTUP_RETRY_SECONDS),
            before_sleep=_log_not_up,
            reraise=True,
        )
        attempts(self.migrate)

    def release_free_pages(self) -> int:
        """Give the space of deleted rows in a SQLite file back to the disk; return how many bytes.

        Other writers wait for at most VACUUM_PAGES pages at a time. A file of an older release is once written anew as
        a whole, when a quarter of it is free and the disk has room for it twice. PostgreSQL does this itself.
        """
        if self.engine.dialect.name != "sqlite":
            return 0
        with self.engine.execution_options(genconvnet_autocommit=True).connect() as connection:
            pages, free = _pragma(connection, "page_count"), _pragma(connection, "freelist_count")
            if _pragma(connection, "auto_vacuum") == INCREMENTAL:
                self._vacuum_incrementally(free)
            elif free * 4 > pages and self._has_disk_space(2 * pages * _pragma(connection, "page_size")):
                connection.exec_driver_sql(f"PRAGMA auto_vacuum={INCREMENTAL}")  # takes effect with VACUUM
                connection.exec_driver_sql("VACUUM")
            _checkpoint(connection)
            return max(0, pages - _pragma(connection, "page_count")) * _pragma(connection, "page_size")

    def _has_disk_space(self, needed_bytes: int) -> bool:
        return shutil.disk_usage(Path(str(self.engine.url.database)).parent).free > needed_bytes

    def _vacuum_incrementally(self, pages: int) -> None:
        """Give back `pages` free pages, VACUUM_PAGES in a transaction."""
        for first in range(0, pages, VACUUM_PAGES):
            with self._writing.begin() as connection:
                for _ in range(first, min(first + VACUUM_PAGES, pages)):
                    # One page in each call: Python's driver would stop after the first of several.
                    connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")

    def release_connections(self) -> None:
        """Close the idle connections to a server, which would wait for them if it is stopped. SQLite has no server."""
        if self.engine.dialect.name != "sqlite":
            self.engine.dispose()

    def dispose(self) -> None:
        """Close the connections that no transaction uses. The next transaction opens another."""
        self.engine.dispose()


class _Migrations:
    """Alembic on an open connection. Imported on use, because the import is slow."""

    def __init__(self, connection: Connection) -> None:
        from alembic.config import Config

        self._config = Config()
        self._config.set_main_option("script_location", str(MIGRATIONS))
        self._config.attributes["connection"] = connection

    def up(self) -> None:
        from alembic import command

        command.upgrade(self._config, "head")

    def down_to(self, revision: str) -> None:
        from alembic import command

        command.downgrade(self._config, revision)


def _log_not_up(attempt: RetryCallState) -> None:
    error = attempt.outcome.exception() if attempt.outcome else None
    assert isinstance(error, OperationalError)
    log.warning("database_not_up", error=str(error.orig))


@contextmanager
def _detect_unknown_commit(transaction: Session | Connection) -> Iterator[None]:
    """Raise UnknownCommit if the connection is lost after COMMIT was sent."""
    committing = False

    def begin_commit(_: Session | Connection) -> None:
        nonlocal committing
        committing = True

    event.listen(transaction, "before_commit" if isinstance(transaction, Session) else "commit", begin_commit)
    try:
        yield
    except OperationalError as error:
        if committing and error.connection_invalidated:
            raise UnknownCommit(error.statement, error.params, error.orig or error) from error
        raise


def _engine(url: str, keep_connections: bool) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        # The encoding is set because psycopg returns bytes for text if the encoding of the server is SQL_ASCII.
        pool: dict[str, Any] = {"pool_pre_ping": True} if keep_connections else {"poolclass": NullPool}
        engine = create_engine(parsed, connect_args={"client_encoding": "utf8", **POSTGRES_TIMEOUTS}, **pool)
        event.listen(engine, "connect", _require_synchronous_commit)
        return engine
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _require_synchronous_commit(connection: Any, _: ConnectionPoolEntry) -> None:
    """Turn synchronous_commit on if the server has it off: a crash could otherwise lose jobs that were accepted."""
    wanted = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    connection.execute(wanted)
    connection.commit()


def _configure_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver must not begin transactions itself
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if pages == 0:  # for a new file, before anything is written to it; later it would wait for the lock of a writer
        connection.execute(f"PRAGMA auto_vacuum={INCREMENTAL}")
    _enable_write_ahead_log(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and sqlite_code(error) == sqlite3.SQLITE_BUSY


@retry(
    retry=retry_if_exception(_is_busy),
    stop=stop_after_delay(BUSY_TIMEOUT_SECONDS),
    wait=wait_fixed(WAL_RETRY_SECONDS),
    reraise=True,
)
def _enable_write_ahead_log(connection: Any) -> None:
    """Switch to WAL mode. SQLite itself does not wait if another connection holds a lock here, hence the retry."""
    connection.execute("PRAGMA journal_mode=WAL")


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _checkpoint(connection: Connection) -> None:
    """Move the write-ahead log into the database file and empty it, or only as much as is possible without waiting.

    While SQLite waits for a long reader here, such as a backup, it would keep all writers waiting too.
    """
    patience = _pragma(connection, "busy_timeout")
    connection.exec_driver_sql("PRAGMA busy_timeout=0")
    try:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={patience}")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("genconvnet_autocommit", False):
        return
    writing = options.get("genconvnet_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
