"""Errors that have no type of their own are recognised (worker/errors.py)."""

import errno
import sqlite3

from obstore.exceptions import GenericError
from sqlalchemy.exc import OperationalError

from worker.errors import is_database_unavailable, is_storage_full


def sqlite_error(code: int) -> OperationalError:
    cause = sqlite3.OperationalError("as SQLite says it")
    cause.sqlite_errorcode = code
    return OperationalError("SELECT 1", None, cause)


def test_full_storage_is_recognised_by_number_or_message() -> None:
    assert is_storage_full(OSError(errno.ENOSPC, "full"))
    assert is_storage_full(GenericError("Unable to copy data to file a#1: No space left on device (os error 28)"))
    assert is_storage_full(sqlite_error(sqlite3.SQLITE_FULL))
    assert not is_storage_full(GenericError("Permission denied (os error 13)"))
    assert not is_storage_full(OSError(errno.EIO, "broken"))
    assert not is_storage_full(sqlite_error(sqlite3.SQLITE_BUSY))


def test_an_unavailable_database_is_recognised_by_its_code() -> None:
    assert is_database_unavailable(sqlite_error(sqlite3.SQLITE_BUSY))
    assert is_database_unavailable(sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT)), "an extended code"
    assert not is_database_unavailable(sqlite_error(sqlite3.SQLITE_FULL))
    assert not is_database_unavailable(OSError(errno.EIO, "broken"))
