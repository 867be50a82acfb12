"""Which service an error says is unavailable, and whether a disk is full."""

import errno
import sqlite3
from pathlib import Path

import psycopg
import pytest
from obstore.exceptions import GenericError
from redis.exceptions import ConnectionError as BrokerConnectionError
from redis.exceptions import OutOfMemoryError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from support.postgres import PostgresServer

from core.storage.blobs import BlobStoreUnavailable
from core.storage.database import Database, UnknownCommit
from core.storage.failures import is_database_unavailable, is_disk_full, unavailable_service

LOST = OSError("connection lost")


def sqlite_error(code: int) -> OperationalError:
    cause = sqlite3.OperationalError("as SQLite reports it")
    cause.sqlite_errorcode = code
    return OperationalError("SELECT 1", None, cause)


def postgres_error(kind: type[psycopg.Error]) -> DBAPIError:
    return DBAPIError("SELECT 1", None, kind("as PostgreSQL reports it"))


@pytest.mark.parametrize(
    ("error", "service"),
    [
        (BrokerConnectionError("refused"), "broker"),
        (OutOfMemoryError("OOM"), "broker"),
        (GenericError("Permission denied (os error 13)"), "file storage"),
        (BlobStoreUnavailable("the bucket does not exist"), "file storage"),
        (OperationalError("SELECT 1", {}, LOST), "database"),
        (UnknownCommit("COMMIT", {}, LOST), "database"),
        (PoolTimeout("QueuePool limit reached"), "database"),
        (OSError(errno.EIO, "broken"), None),
        (ValueError("a bug"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_type_of_an_error_names_the_unavailable_service(error: Exception, service: str | None) -> None:
    assert unavailable_service(error) == service


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EDQUOT, "over quota"), True),
        (OSError(errno.EIO, "broken"), False),
        (GenericError("Unable to copy data to file a#1: No space left on device (os error 28)"), True),
        (GenericError("Permission denied (os error 13)"), False),
        (BlobStoreUnavailable("the bucket does not exist"), False),
        (sqlite_error(sqlite3.SQLITE_FULL), True),
        (sqlite_error(sqlite3.SQLITE_FULL).orig, True),  # as a COMMIT may raise it
        (sqlite_error(sqlite3.SQLITE_BUSY), False),
        (postgres_error(psycopg.errors.DiskFull), True),
        (postgres_error(psycopg.errors.OutOfMemory), False),
    ],
    ids=repr,
)
def test_a_full_disk_is_recognised_by_its_code(error: Exception, full: bool) -> None:
    assert is_disk_full(error) is full


def test_a_full_sqlite_database_is_recognised(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'rows.sqlite3'}")
    with database.write() as session:
        session.execute(text("PRAGMA max_page_count = 1"))
        with pytest.raises(DBAPIError) as raised:
            session.execute(text("CREATE TABLE too_much AS SELECT randomblob(10000000) AS x"))
    database.dispose()
    assert is_disk_full(raised.value)
    assert not is_database_unavailable(raised.value)


@pytest.mark.parametrize(
    ("error", "unavailable"),
    [
        (sqlite_error(sqlite3.SQLITE_BUSY), True),
        (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), True),  # an extended code
        (sqlite_error(sqlite3.SQLITE_FULL), False),
        (postgres_error(psycopg.errors.CannotConnectNow), True),
        (postgres_error(psycopg.OperationalError), True),  # without a code, because the server could not send one
        (postgres_error(psycopg.errors.UniqueViolation), False),
        (LOST, False),
    ],
    ids=repr,
)
def test_an_unavailable_database_is_recognised_by_its_code(error: Exception, unavailable: bool) -> None:
    assert is_database_unavailable(error) is unavailable


def test_a_postgresql_database_that_refuses_connections_is_unavailable(postgres_server: PostgresServer) -> None:
    with postgres_server.fresh() as url:
        database = Database(url)
        name = database.engine.url.database
        assert name is not None
        postgres_server.execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        with pytest.raises(DBAPIError) as refused:
            database.ping()
        postgres_server.execute("ALTER DATABASE {} ALLOW_CONNECTIONS true", name)
        database.dispose()
    assert is_database_unavailable(refused.value)
