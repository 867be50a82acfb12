"""Stored files over HTTP: ETag and 304, Range and 206, and headers that let no browser run them."""

import re
from collections.abc import Iterator
from typing import Protocol

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from api.errors import Problem
from core.storage.blobs import Blobs

HARMLESS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, no-cache",
}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class FileRow(Protocol):
    """A row that describes a stored file."""

    media_type: str
    bytes: int
    sha256: str
    blob: str


def serve(request: Request, blobs: Blobs, row: FileRow, filename: str, *, download: bool = False) -> Response:
    """The file of `row`, or the part asked for. 416 for a range outside it."""
    etag = f'"{row.sha256}"'
    disposition = "attachment" if download else "inline"
    headers = {**HARMLESS, "ETag": etag, "Content-Disposition": f'{disposition}; filename="{filename}"'}
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    part = request.headers.get("range")
    if part and request.headers.get("if-range", etag) != etag:
        part = None
    found = _RANGE.fullmatch(part) if part else None
    if found is None or found.groups() == ("", ""):
        return _respond(request, blobs, row, 0, row.bytes, 200, headers)
    start, length = _slice(row.bytes, *found.groups())
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{row.bytes}"
    return _respond(request, blobs, row, start, length, 206, headers)


def _respond(
    request: Request, blobs: Blobs, row: FileRow, start: int, length: int, status: int, headers: dict[str, str]
) -> Response:
    headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=row.media_type)
    # The first piece is fetched before the answer begins, so that a missing file is a clean 404.
    pieces = blobs.stream(row.blob, start, length)
    first = next(pieces, b"")
    return StreamingResponse(_chain(first, pieces), status, headers=headers, media_type=row.media_type)


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
    else:  # the last so many bytes
        start, stop = max(size - int(last), 0), size
    if start >= stop:
        detail = f"the range asked for lies outside the file's {size} bytes"
        raise Problem(416, detail, headers={"Content-Range": f"bytes */{size}"})
    return start, stop - start
