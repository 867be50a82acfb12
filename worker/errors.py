"""Errors that end a job or make it try again, and what tells them apart."""

import errno
import sqlite3

from obstore.exceptions import BaseError as BlobError
from redis import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

TRANSIENT = (OperationalError, InterfaceError, RedisError, BlobError, OSError)
"""Errors after which the job is tried again, up to `core.jobs.leases.MAX_FAILURES` times."""

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
UNAVAILABLE_SQLITE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN)
UNAVAILABLE_POSTGRESQL = ("08", "57P")  # SQLSTATE classes: connection lost; server shutting down or starting
DISK_FULL_POSTGRESQL = "53100"


class NonFiniteResult(ArithmeticError):
    """A computation resulted in infinity or NaN. Trying the job again would give the same."""


def is_database_unavailable(error: BaseException) -> bool:
    """Return True if the database does not answer at the moment, which is not the job's fault."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in UNAVAILABLE_SQLITE
    state = getattr(error.orig, "sqlstate", None)  # None if the server could not send one
    return error.connection_invalidated or state is None or state.startswith(UNAVAILABLE_POSTGRESQL)


def is_storage_full(error: BaseException) -> bool:
    """Return True if there is no space left for the job's files or rows."""
    if isinstance(error, OSError):
        return error.errno in DISK_FULL_ERRNOS
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlite_errorcode", None)
        return code == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", None) == DISK_FULL_POSTGRESQL
    # obstore has no type for it.
    return isinstance(error, BlobError) and any(f"os error {number}" in str(error) for number in DISK_FULL_ERRNOS)
