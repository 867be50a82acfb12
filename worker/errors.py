"""What may end a job's work, beyond what its lease says."""

import errno
import sqlite3

from obstore.exceptions import BaseError as BlobError
from redis import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

TRANSIENT = (OperationalError, InterfaceError, RedisError, BlobError, OSError)
"""What may be gone at the next try. The job waits and tries again; after three failures it ends."""

FULL = (errno.ENOSPC, errno.EDQUOT)
AWAY_STATES = ("08", "57P")  # classes of PostgreSQL: connection lost, server going down or starting
AWAY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN)


class Diverged(ArithmeticError):
    """The arithmetic ran away to what is no number; the same job would end so again."""


def is_database_away(error: BaseException) -> bool:
    """The database does not answer for now, which is no fault of the job's."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in AWAY_CODES
    state = getattr(error.orig, "sqlstate", None)  # none where the server could not even say it
    return error.connection_invalidated or state is None or state.startswith(AWAY_STATES)


def is_storage_full(error: BaseException) -> bool:
    """There is no room for the job's files, or for its row."""
    if isinstance(error, OSError):
        return error.errno in FULL
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlite_errorcode", None)
        return code == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", None) == "53100"
    return isinstance(error, BlobError) and any(f"os error {number}" in str(error) for number in FULL)
