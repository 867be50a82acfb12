"""Serves thumbnails. Each is made once, in a decoder process, and stored beside its picture.

A worker stores those of the large pictures that it makes. All others are made when they are first asked for, a few at
a time, so that a gallery of thousands of pictures leaves decoders for uploads and threads for other requests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool

from api.datasets.decoder_pool import DecoderPool
from api.errors import Problem
from api.files import serving
from core.schemas.thumbnails import is_small
from core.storage.blobs import BlobMissing, Blobs, thumbnail_path
from core.storage.errors import NotFound

MEDIA_TYPE = "image/webp"


class PictureRow(serving.FileRow, Protocol):
    """A database row that describes a stored picture; width and height are None for another file."""

    @property
    def width(self) -> int | None: ...
    @property
    def height(self) -> int | None: ...


@dataclass(frozen=True)
class _ThumbnailFile:
    """A thumbnail as `serving.serve` needs it. Its `sha256` is made of the picture's, which it depends on alone."""

    blob: str
    bytes: int
    sha256: str
    media_type: str = MEDIA_TYPE


def thumbnail_url(url: str, row: PictureRow) -> str | None:
    """Return the address of a picture's thumbnail, given its own; None if the file is no picture."""
    if row.width is None or row.height is None:
        return None
    return url if is_small(row.width, row.height, row.bytes) else f"{url}/thumbnail"


class Thumbnails:
    """Makes and serves thumbnails, at most half as many at a time as there are decoders, and at least one."""

    def __init__(self, blobs: Blobs, decoders: DecoderPool, decoder_count: int) -> None:
        self._blobs, self._decoders = blobs, decoders
        self._threads = CapacityLimiter(max(decoder_count // 2, 1))

    async def serve(self, request: Request, find: Callable[[], PictureRow], name: str) -> Response:
        """Return the thumbnail of the row that `find` returns, or 304 if the client has it.

        Raises NotFound if the row is no picture, Problem if its thumbnail cannot be made.
        """
        try:
            return await self._serve(request, await run_in_threadpool(find), name)
        except BlobMissing:  # a preview may be replaced after its row was read: read the new row
            return await self._serve(request, await run_in_threadpool(find), name)

    async def _serve(self, request: Request, row: PictureRow, name: str) -> Response:
        if row.width is None or row.height is None:
            raise NotFound("thumbnail", f"of {name}")
        if is_small(row.width, row.height, row.bytes):
            return await run_in_threadpool(serving.serve, request, self._blobs, row, f"{name}.png")
        file = _ThumbnailFile(thumbnail_path(row.blob), 0, f"{row.sha256}-thumbnail")
        if serving.is_unchanged(request, file):  # without a look at the storage
            return await run_in_threadpool(serving.serve, request, self._blobs, file, f"{name}.webp")
        size = await run_in_threadpool(self._stored_size, file.blob)
        if size is None:
            size = await self._make_in_turn(request, row.blob)
        file = _ThumbnailFile(file.blob, size, file.sha256)
        return await run_in_threadpool(serving.serve, request, self._blobs, file, f"{name}.webp")

    async def _make_in_turn(self, request: Request, source: str) -> int:
        """Make and store a thumbnail, unless the client has gone or another request has made it by now."""
        async with self._threads:
            if await request.is_disconnected():
                raise Problem(400, "the client disconnected before its thumbnail was made")
            return await run_sync(self._make, source, limiter=CapacityLimiter(1))

    def _make(self, source: str) -> int:
        path = thumbnail_path(source)
        if (size := self._stored_size(path)) is not None:
            return size
        with self._blobs.open(source) as file:
            content = self._decoders.thumbnail(file, source)
        self._blobs.put(path, content)
        if not self._blobs.exists(source):  # deleted meanwhile
            self._blobs.delete(path)
            raise BlobMissing(f"no stored file {source}")
        return len(content)

    def _stored_size(self, path: str) -> int | None:
        try:
            return self._blobs.size(path)
        except BlobMissing:
            return None
