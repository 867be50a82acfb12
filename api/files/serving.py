"""Serves stored files over HTTP: with ETag and Range, and with headers that keep browsers from running them."""

import re
from collections.abc import Iterator
from typing import Protocol

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from api.errors import Problem
from api.files.download_names import disposition
from core.storage.blobs import Blobs

FILE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, no-cache",
}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class FileRow(Protocol):
    """A database row that describes a stored file."""

    @property
    def media_type(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def blob(self) -> str: ...


def is_unchanged(request: Request, row: FileRow) -> bool:
    """Return True if the client has the file, as its If-None-Match says."""
    return _matches(request.headers.get("if-none-match"), f'"{row.sha256}"')


def serve(request: Request, blobs: Blobs, row: FileRow, filename: str, *, download: bool = False) -> Response:
    """Return the file of `row`, or the range requested (206), or 304 if the client has it. Raises Problem 416."""
    etag = f'"{row.sha256}"'
    headers = {
        **FILE_HEADERS,
        "ETag": etag,
        "Content-Disposition": disposition("attachment" if download else "inline", filename),
    }
    if is_unchanged(request, row):
        return Response(status_code=304, headers=headers)
    part = request.headers.get("range")
    if part and request.headers.get("if-range", etag) != etag:
        part = None
    found = _RANGE.fullmatch(part) if part else None
    if found is None or found.groups() == ("", ""):
        return _respond(blobs, row, 0, row.bytes, 200, headers)
    start, length = _slice(row.bytes, *found.groups())
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{row.bytes}"
    return _respond(blobs, row, start, length, 206, headers)


def _respond(blobs: Blobs, row: FileRow, start: int, length: int, status: int, headers: dict[str, str]) -> Response:
    headers["Content-Length"] = str(length)
    # Read the first chunk before the response starts, so that a missing file is still answered with 404.
    chunks = blobs.stream(row.blob, start, length)
    first = next(chunks, b"")
    return StreamingResponse(_chain(first, chunks), status, headers=headers, media_type=row.media_type)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _matches(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    return header.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in header.split(",")]


def _slice(size: int, first: str, last: str) -> tuple[int, int]:
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    else:  # a suffix range: the last `last` bytes
        start, stop = max(size - int(last), 0), size
    if start >= stop:
        detail = f"the requested range is outside of the file, which has {size} bytes"
        raise Problem(416, detail, headers={"Content-Range": f"bytes */{size}"})
    return start, stop - start
