"""Files by path, in a local folder or an S3-compatible store: written whole or not at all."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

STREAM_CHUNK_BYTES = 1 << 20


class BlobMissing(LookupError):
    """A row names a file that is not there."""


@dataclass(frozen=True)
class StoredBlob:
    """A file as its row describes it."""

    blob: str
    bytes: int
    sha256: str


class Blobs:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._store: ObjectStore = LocalStore(self._folder, mkdir=True) if self._folder is not None else from_url(url)

    def put(self, path: str, content: bytes) -> StoredBlob:
        """Store `content` under `path`; when this returns it is on the disk."""
        self._store.put(path, content)
        if self._folder is not None:
            _sync(self._folder, path)
        return StoredBlob(path, len(content), hashlib.sha256(content).hexdigest())

    def get(self, path: str) -> bytes:
        """Raises BlobMissing."""
        with _missing_told(path):
            return bytes(self._store.get(path).bytes())

    def stream(self, path: str, start: int, length: int) -> Iterator[bytes]:
        """`length` bytes from `start`, in pieces. Raises BlobMissing."""
        end = start + length
        while start < end:
            size = min(STREAM_CHUNK_BYTES, end - start)
            with _missing_told(path):
                piece = bytes(self._store.get_range(path, start=start, length=size))
            yield piece
            start += size

    def delete(self, *paths: str) -> None:
        """Remove files; what is not there is passed over."""
        for path in paths:
            try:
                self._store.delete(path)
            except (NotFoundError, FileNotFoundError):
                continue

    def ping(self) -> None:
        """Raises where the store does not answer."""
        next(iter(self._store.list(prefix="datasets")), None)


@contextmanager
def _missing_told(path: str) -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise BlobMissing(f"no stored file {path}") from error


def _sync(folder: Path, path: str) -> None:
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
