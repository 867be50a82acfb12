"""Files by path, in a local folder or an S3-compatible store. A write is atomic: all of the file or nothing."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from obstore.exceptions import GenericError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

PREFIXES = ("datasets/", "jobs/", "models/")  # of all files of the service; the bucket may hold other files too
STREAM_CHUNK_BYTES = 1 << 20
CONNECT_SECONDS, REQUEST_SECONDS, RETRIES, RETRY_SECONDS = 5, 60, 3, 15  # for a store on the network
FOLDER_SECONDS = 10  # to make a file's folders while others remove them, because they are empty


THUMBNAIL = ".thumbnail.webp"  # at the end of the path of a picture's thumbnail


class BlobMissing(LookupError):
    """There is no file at the path."""


class BlobStoreUnavailable(ConnectionError):
    """The bucket does not exist. A later attempt may succeed."""


@dataclass(frozen=True)
class StoredBlob:
    """A stored file: path, size and SHA-256, as written to its row."""

    blob: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class BlobInfo:
    """A file as the store lists it; `modified` is in seconds since 1970."""

    path: str
    bytes: int
    modified: float


def thumbnail_path(path: str) -> str:
    """Return the path of a picture's thumbnail, a file that can be made again and that no row names."""
    return path + THUMBNAIL


def source_path(path: str) -> str:
    """Return the path of a thumbnail's picture, or the path itself if it is not that of a thumbnail."""
    return path.removesuffix(THUMBNAIL)


def local_folder(url: str) -> Path | None:
    """Return the folder of a file:// URL, or None for an object store."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def is_os_error(error: BaseException, *numbers: int) -> bool:
    """Return True if an error of obstore has one of these numbers of the operating system's.

    obstore gives them in its message only.
    """
    return any(f"os error {number}" in str(error) for number in numbers)


def _is_folder_removed(error: BaseException) -> bool:
    """Return True if a file's folders could not be made because one of them was removed at the same time."""
    # obstore names the step that failed in its message only
    return isinstance(error, GenericError) and "create dir" in str(error) and is_os_error(error, errno.ENOENT)


class Blobs:
    """The blob store at `url` (file:// or s3://)."""

    def __init__(self, url: str) -> None:
        self.folder = local_folder(url)
        self._store: ObjectStore = LocalStore(self.folder, mkdir=True) if self.folder is not None else _remote(url)

    def put(self, path: str, content: bytes) -> StoredBlob:
        """Store `content` at `path`. It is flushed to disk on return. Raises BlobStoreUnavailable."""
        self._put(path, content)
        return StoredBlob(path, len(content), hashlib.sha256(content).hexdigest())

    def put_file(self, path: str, file: BinaryIO) -> StoredBlob:
        """Store an open file at `path` without reading it into memory as a whole; see `put`."""
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
        size = file.tell()
        self._put(path, file)
        return StoredBlob(path, size, digest.hexdigest())

    def _put(self, path: str, content: bytes | BinaryIO) -> None:
        try:
            self._put_once(path, content)
        except (NotFoundError, FileNotFoundError) as error:
            if self.folder is not None:
                raise
            raise BlobStoreUnavailable(f"cannot store {path}: the bucket does not exist") from error
        if self.folder is not None:
            _fsync(self.folder, path)

    @retry(
        retry=retry_if_exception(_is_folder_removed),
        stop=stop_after_delay(FOLDER_SECONDS),
        wait=wait_fixed(0.001),
        reraise=True,
    )
    def _put_once(self, path: str, content: bytes | BinaryIO) -> None:
        if not isinstance(content, bytes):
            content.seek(0)
        self._store.put(path, content)

    def get(self, path: str) -> bytes:
        """Return the content of a file. Raises BlobMissing."""
        with _not_found_as_blob_missing(path):
            return bytes(self._store.get(path).bytes())

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Yield a file to read; one from an object store is copied to a temporary file. Raises BlobMissing."""
        with _not_found_as_blob_missing(path):
            file = (self.folder / path).open("rb") if self.folder is not None else self._copy(path)
        with file:
            yield file

    def _copy(self, path: str) -> BinaryIO:
        """Return a temporary file with the content of a file. Raises BlobMissing."""
        size = self.size(path)
        with ExitStack() as on_failure:
            copy = on_failure.enter_context(tempfile.TemporaryFile())
            for chunk in self.stream(path, 0, size):
                copy.write(chunk)
            copy.seek(0)
            on_failure.pop_all()  # the caller closes it
            return copy

    def size(self, path: str) -> int:
        """Return the size of a file in bytes. Raises BlobMissing."""
        with _not_found_as_blob_missing(path):
            return self._store.head(path)["size"]

    def stream(self, path: str, start: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes from offset `start`, in chunks. Raises BlobMissing."""
        end = start + length
        while start < end:
            size = min(STREAM_CHUNK_BYTES, end - start)
            with _not_found_as_blob_missing(path):
                piece = bytes(self._store.get_range(path, start=start, length=size))
            yield piece
            start += size

    def delete(self, *paths: str) -> None:
        """Delete files and their thumbnails, and the folders that are empty then. Missing files are ignored."""
        thumbnails = [thumbnail_path(path) for path in paths if path.endswith(".png")]
        for path in (*thumbnails, *paths):
            try:
                if self.folder is not None:
                    (self.folder / path).unlink()
                    _remove_empty_parents(self.folder, path)
                else:
                    self._store.delete(path)
            except (NotFoundError, FileNotFoundError):
                continue

    def exists(self, path: str) -> bool:
        """Return True if there is a file at `path`."""
        try:
            self.size(path)
        except BlobMissing:
            return False
        return True

    def list_files(self, prefix: str) -> Iterator[BlobInfo]:
        """Yield every file in a folder, including partial files of a process that was killed."""
        if self.folder is not None:
            yield from _walk(self.folder, prefix)
            return
        for batch in self._store.list(prefix=prefix):
            for one in batch:
                yield BlobInfo(one["path"], one["size"], one["last_modified"].timestamp())

    def remove_empty_folders(self, prefix: str, before: float) -> None:
        """Remove folders below `prefix` that have been empty since `before`. An object store has no folders."""
        if self.folder is None:
            return
        for folder, _, _ in os.walk(self.folder / prefix, topdown=False):
            if Path(folder) != self.folder / prefix and Path(folder).stat().st_mtime < before:
                with suppress(OSError):  # not empty, or already removed
                    Path(folder).rmdir()

    def paths(self) -> Iterator[str]:
        """Yield the path of every stored file."""
        for page in self._store.list():
            yield from (entry["path"] for entry in page)

    def ping(self) -> None:
        """Raise an error if the store does not answer."""
        next(iter(self._store.list(prefix="datasets")), None)


def _remote(url: str) -> ObjectStore:
    """Return a store with timeouts. Credentials and endpoint come from the environment variables AWS_*."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT", ""))
    return from_url(
        url,
        client_options={
            "connect_timeout": f"{CONNECT_SECONDS}s",
            "timeout": f"{REQUEST_SECONDS}s",
            "allow_http": endpoint.startswith("http://"),
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
    )


@contextmanager
def _not_found_as_blob_missing(path: str) -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise BlobMissing(f"no stored file {path}") from error


def _walk(root: Path, prefix: str) -> Iterator[BlobInfo]:
    # Not obstore's own listing: it leaves out the temporary files of writes that were interrupted.
    for folder, _, names in os.walk(root / prefix):
        for name in names:
            path = Path(folder) / name
            with suppress(FileNotFoundError):  # deleted meanwhile
                about = path.stat()
                yield BlobInfo(path.relative_to(root).as_posix(), about.st_size, about.st_mtime)


def _remove_empty_parents(folder: Path, path: str) -> None:
    """Remove the folders of a deleted file below `folder`. One that is not empty is kept; a new file makes its own."""
    for parent in list((folder / path).relative_to(folder).parents)[:-1]:
        try:
            (folder / parent).rmdir()
        except OSError:  # not empty, or another process was faster
            return


def _fsync(folder: Path, path: str) -> None:
    """Call fsync on the file and on each of its parent folders, because any of them may be new."""
    target = folder / path
    for part in (target, *target.parents):
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if part == folder:
            return
