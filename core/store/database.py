"""One database, SQLite or PostgreSQL: short transactions, and its clock, which is the only one that leases go by."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Double, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.functions import FunctionElement

BUSY_TIMEOUT_SECONDS = 30
START_SECONDS, START_PAUSE_SECONDS = 120, 1
MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x67656E63  # an advisory lock of PostgreSQL, so that processes that start together migrate in turn

log = structlog.get_logger()


class now(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it is
    """The database's present time, in seconds since 1970, UTC; within one transaction it goes on."""

    type = Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgresql(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


class Database:
    """Transactions on rows. `read` and `write` give a session that commits at the end, or rolls back on an error.

    SQLite has one writer at a time: `write` waits for its turn before it reads, so that no transaction is refused
    half-way.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._writing = self.engine.execution_options(genconvnet_write=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def ping(self) -> None:
        """Raises SQLAlchemyError where the database does not answer or has not been migrated."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT version_num FROM alembic_version"))

    def migrate(self) -> None:
        """Bring the schema up to the newest revision."""
        with self._writing.connect() as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def migrate_when_up(self) -> None:
        """`migrate`, once the server answers, which may be starting as we are. OperationalError where it does not."""
        deadline = time.monotonic() + (START_SECONDS if self.engine.dialect.name != "sqlite" else 0)
        while True:
            try:
                return self.migrate()
            except OperationalError as error:
                if time.monotonic() >= deadline:
                    raise
                log.warning("database_not_up", error=str(error.orig))
                time.sleep(START_PAUSE_SECONDS)

    def dispose(self) -> None:
        self.engine.dispose()


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        # The encoding is said, since a server whose own is SQL_ASCII makes psycopg hand out bytes for text.
        return create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": 5, "client_encoding": "utf8"})
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("genconvnet_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
