"""Recognise failures that are no fault of a request or job: a service is unavailable, or a disk is full.

The type of an error decides, if its library has a type for it; a code or message decides only if it has none.
"""

import errno
import sqlite3
from typing import Literal

from obstore.exceptions import BaseError as BlobError
from redis import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.storage.blobs import BlobStoreUnavailable, is_os_error

Service = Literal["broker", "file storage", "database"]

DATABASE_UNAVAILABLE = (OperationalError, PoolTimeout)
"""The database does not answer, or all connections of the pool are in use."""

SERVICES: dict[type[Exception], Service] = {
    RedisError: "broker",
    BlobError: "file storage",
    BlobStoreUnavailable: "file storage",
    **dict.fromkeys(DATABASE_UNAVAILABLE, "database"),
}
"""The service that is unavailable, by the type of the error."""

TRANSIENT = (OperationalError, InterfaceError, RedisError, BlobError, OSError)
"""Errors that may not occur again if the same work is tried later."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
POSTGRES_DISK_FULL = "53100"
POSTGRES_UNAVAILABLE = ("08", "57P")  # classes of SQLSTATE: connection lost; server starting or shutting down
SQLITE_UNAVAILABLE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN)


def unavailable_service(error: BaseException) -> Service | None:
    """Return the service that the error says is unavailable, or None if it says nothing of the kind."""
    return next((service for kind, service in SERVICES.items() if isinstance(error, kind)), None)


def is_database_unavailable(error: BaseException) -> bool:
    """Return True if the database cannot be reached: stricter than DATABASE_UNAVAILABLE, which includes deadlocks."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return sqlite_code(error.orig) in SQLITE_UNAVAILABLE
    state = getattr(error.orig, "sqlstate", None)  # None if the server could not report one
    return error.connection_invalidated or state is None or state.startswith(POSTGRES_UNAVAILABLE)


def is_disk_full(error: BaseException) -> bool:
    """Return True if a disk is full: the one for files, or the database's."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return is_disk_full(error.orig)
    if isinstance(error, sqlite3.Error):
        return sqlite_code(error) == sqlite3.SQLITE_FULL
    if (state := getattr(error, "sqlstate", None)) is not None:  # psycopg is not imported for its type
        return bool(state == POSTGRES_DISK_FULL)
    if isinstance(error, BlobError):
        return is_os_error(error, *DISK_FULL)
    return isinstance(error, OSError) and error.errno in DISK_FULL


def sqlite_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
