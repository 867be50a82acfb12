"""Files whose row did not come, or has gone. What cannot be removed now is left to the sweep, which asks the rows."""

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
def delete_on_failure(blobs: Blobs, find: Callable[[], object]) -> Iterator[list[str]]:
    """Gives a list for the paths of what is stored. Where the block fails they are removed, if `find` raises NotFound.

    While a COMMIT is in doubt they stay: it may take effect after we have looked.
    """
    paths: list[str] = []
    try:
        yield paths
    except UnknownCommit as error:
        log.warning("files_left_to_the_sweep", paths=paths, error=str(error))
        raise
    except BaseException:
        try:
            find()
        except NotFound:
            delete_files(blobs, paths)
        except SQLAlchemyError as error:
            log.warning("files_left_to_the_sweep", paths=paths, error=str(error))
        raise


def delete_files(blobs: Blobs, paths: Iterable[str]) -> None:
    """Of rows that are not there: nobody misses a file that stays a while."""
    paths = list(paths)
    try:
        blobs.delete(*paths)
    except (BlobError, OSError) as error:
        log.warning("files_left_to_the_sweep", paths=paths, error=str(error))
