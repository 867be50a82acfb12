"""Files by path, in a local folder or an S3-compatible store: written whole or not at all."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

STREAM_CHUNK_BYTES = 1 << 20
CONNECT_SECONDS, REQUEST_SECONDS, RETRIES, RETRY_SECONDS = 5, 60, 3, 15  # of a store on the network


class BlobMissing(LookupError):
    """A row names a file that is not there."""


class BlobStoreUnavailable(ConnectionError):
    """The place for files is not there at all: its bucket is absent. Another try may find it."""


@dataclass(frozen=True)
class StoredBlob:
    """A file as its row describes it."""

    blob: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class BlobInfo:
    """A file as the store lists it; `modified` in seconds since 1970."""

    path: str
    bytes: int
    modified: float


class Blobs:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._store: ObjectStore = LocalStore(self.folder, mkdir=True) if self.folder is not None else _remote(url)

    def put(self, path: str, content: bytes) -> StoredBlob:
        """Store `content` under `path`; when this returns it is on the disk. Raises BlobStoreUnavailable."""
        self._put(path, content)
        return StoredBlob(path, len(content), hashlib.sha256(content).hexdigest())

    def put_file(self, path: str, file: BinaryIO) -> StoredBlob:
        """The same for an open file, of which never more than a few pieces are in memory."""
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
        size = file.tell()
        file.seek(0)
        self._put(path, file)
        return StoredBlob(path, size, digest.hexdigest())

    def _put(self, path: str, content: bytes | BinaryIO) -> None:
        try:
            self._store.put(path, content)
        except (NotFoundError, FileNotFoundError) as error:
            if self.folder is not None:
                raise
            raise BlobStoreUnavailable(f"cannot store {path}: the bucket is not there") from error
        if self.folder is not None:
            _fsync(self.folder, path)

    def get(self, path: str) -> bytes:
        """Raises BlobMissing."""
        with _not_found_as_blob_missing(path):
            return bytes(self._store.get(path).bytes())

    def size(self, path: str) -> int:
        """In bytes. Raises BlobMissing."""
        with _not_found_as_blob_missing(path):
            return self._store.head(path)["size"]

    def stream(self, path: str, start: int, length: int) -> Iterator[bytes]:
        """`length` bytes from `start`, in pieces. Raises BlobMissing."""
        end = start + length
        while start < end:
            size = min(STREAM_CHUNK_BYTES, end - start)
            with _not_found_as_blob_missing(path):
                piece = bytes(self._store.get_range(path, start=start, length=size))
            yield piece
            start += size

    def delete(self, *paths: str) -> None:
        """Remove files; what is not there is passed over."""
        for path in paths:
            try:
                if self.folder is not None:
                    (self.folder / path).unlink()
                else:
                    self._store.delete(path)
            except (NotFoundError, FileNotFoundError):
                continue

    def exists(self, path: str) -> bool:
        try:
            self.size(path)
        except BlobMissing:
            return False
        return True

    def list_files(self, prefix: str) -> Iterator[BlobInfo]:
        """Every file under a folder, also what a process that was killed had written in part."""
        if self.folder is not None:
            yield from _walk(self.folder, prefix)
            return
        for batch in self._store.list(prefix=prefix):
            for one in batch:
                yield BlobInfo(one["path"], one["size"], one["last_modified"].timestamp())

    def remove_empty_folders(self, prefix: str, before: float) -> None:
        """Remove the folders under one that are empty since `before`, where the store has folders."""
        if self.folder is None:
            return
        for folder, _, _ in os.walk(self.folder / prefix, topdown=False):
            if Path(folder) != self.folder / prefix and Path(folder).stat().st_mtime < before:
                with suppress(OSError):  # it is not empty, or gone
                    Path(folder).rmdir()

    def paths(self) -> Iterator[str]:
        """Of every stored file."""
        for page in self._store.list():
            yield from (entry["path"] for entry in page)

    def ping(self) -> None:
        """Raises where the store does not answer."""
        next(iter(self._store.list(prefix="datasets")), None)


def _remote(url: str) -> ObjectStore:
    """A store on the network, which gives up on a silent server. Credentials and endpoint: the variables AWS_*."""
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
    # Not obstore's own listing, which passes over the files that it began and did not finish.
    for folder, _, names in os.walk(root / prefix):
        for name in names:
            path = Path(folder) / name
            with suppress(FileNotFoundError):  # deleted meanwhile
                about = path.stat()
                yield BlobInfo(path.relative_to(root).as_posix(), about.st_size, about.st_mtime)


def _fsync(folder: Path, path: str) -> None:
    """The file, and every folder on the way to it: any of them may be new."""
    target = folder / path
    for part in (target, *target.parents):
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if part == folder:
            return
