"""Deletes files whose database row was never written or has been deleted.

A file that cannot be deleted now is left to the retention sweep, which deletes files that no row names.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import structlog
from obstore.exceptions import BaseError as BlobError
from sqlalchemy.exc import SQLAlchemyError

from core.storage.blobs import Blobs
from core.storage.database import UnknownCommit
from core.storage.errors import NotFound

log = structlog.get_logger()


@contextmanager
def delete_on_failure(blobs: Blobs, find_row: Callable[[], object]) -> Iterator[list[str]]:
    """Yield a list for the paths of stored files; if the block fails, delete these files.

    They are deleted only if `find_row` raises NotFound. They stay if it is not known whether a COMMIT took effect,
    because it may still take effect after the check.
    """
    paths: list[str] = []
    try:
        yield paths
    except UnknownCommit as error:
        log.warning("files_left_to_the_sweep", paths=paths, error=str(error))
        raise
    except BaseException:
        try:
            find_row()
        except NotFound:
            delete_files(blobs, paths)
        except SQLAlchemyError as error:
            log.warning("files_left_to_the_sweep", paths=paths, error=str(error))
        raise


def delete_files(blobs: Blobs, paths: Iterable[str]) -> None:
    """Delete files that no row names. If the storage fails, log it and leave them to the retention sweep."""
    paths = list(paths)
    try:
        blobs.delete(*paths)
    except (BlobError, OSError) as error:
        log.warning("files_left_to_the_sweep", paths=paths, error=str(error))
