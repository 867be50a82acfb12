"""The format of a backup: a gzipped tar of files and rows, with a list of SHA-256 sums at its end.

Members in order: `backup.json` (format, schema revision), `blobs/…`, `rows/….jsonl` (a table as JSON Lines),
`contents.jsonl` (name, bytes and SHA-256 of each member). If a file was replaced during the backup it is there twice,
and the last one counts. An archive without `contents.jsonl` was cut short.
"""

import base64
import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

FORMAT = 1
HEADER, CONTENTS, BLOBS, ROWS = "backup.json", "contents.jsonl", "blobs/", "rows/"
_NAME = re.compile(
    r"backup\.json|contents\.jsonl|rows/[a-z_]{1,60}\.jsonl|blobs/[\w@=+-][\w.@=+-]*(/[\w@=+-][\w.@=+-]*)*"
)


UNREADABLE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)
"""Errors of tarfile and gzip for an archive that was cut short or damaged."""


class BadArchive(ValueError):
    """The archive is not a complete backup. The message says what is wrong."""


@dataclass(frozen=True)
class ArchiveEntry:
    """A line of `contents.jsonl`."""

    name: str
    bytes: int
    sha256: str


class Writer:
    """Write an archive to `file`, one member at a time. It is valid only after `finish` and `close`."""

    def __init__(self, file: IO[bytes], revision: str, created_at: float) -> None:
        self._gzip = gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1)
        self._tar = tarfile.open(fileobj=self._gzip, mode="w|")  # noqa: SIM115 - closed by `close`
        header = {"format": FORMAT, "revision": revision, "created_at": created_at}
        self.add(HEADER, json.dumps(header).encode())

    def add(self, name: str, content: bytes) -> ArchiveEntry:
        """Write a member from memory."""
        return self.copy(name, io.BytesIO(content), len(content), hashlib.sha256(content).hexdigest())

    def copy(self, name: str, source: IO[bytes], size: int, sha256: str) -> ArchiveEntry:
        """Write a member from an open file of `size` bytes."""
        info = tarfile.TarInfo(name)
        info.size = size
        self._tar.addfile(info, source)
        return ArchiveEntry(name, size, sha256)

    def finish(self, entries: list[ArchiveEntry]) -> None:
        """Write `contents.jsonl`."""
        self.add(CONTENTS, b"".join(json.dumps(asdict(entry)).encode() + b"\n" for entry in entries))

    def close(self) -> None:
        self._tar.close()
        self._gzip.close()


def read(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and content of each member. Raises BadArchive for links and unexpected names."""
    try:
        with (
            gzip.GzipFile(fileobj=file, mode="rb") as uncompressed,
            tarfile.open(fileobj=uncompressed, mode="r|") as tar,
        ):
            for info in tar:
                if not info.isreg() or not _NAME.fullmatch(info.name):
                    raise BadArchive(f"it contains {info.name!r}, which is not part of a backup")
                content = tar.extractfile(info)
                assert content is not None
                yield info.name, content
    except UNREADABLE as error:
        raise BadArchive(f"it cannot be read to the end: {error}") from error


def read_header(content: bytes) -> str:
    """Return the schema revision of the rows. Raises BadArchive."""
    try:
        header = json.loads(content)
        format_, revision = header["format"], header["revision"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadArchive("it does not begin like a backup") from error
    if format_ != FORMAT:
        raise BadArchive(f"its format is {format_}, this release reads {FORMAT}")
    return str(revision)


def read_contents(content: bytes) -> dict[str, ArchiveEntry]:
    """Return the entries of `contents.jsonl` by name. Raises BadArchive."""
    try:
        return {entry.name: entry for entry in (ArchiveEntry(**json.loads(line)) for line in content.splitlines())}
    except (ValueError, TypeError) as error:
        raise BadArchive(f"its {CONTENTS} cannot be read") from error


def encode_row(row: dict[str, Any]) -> bytes:
    """Return a row as a line of JSON, the same for SQLite and PostgreSQL."""
    return json.dumps(row, default=lambda value: {"$bytes": base64.b64encode(value).decode()}).encode() + b"\n"


def decode_row(line: bytes) -> dict[str, Any]:
    """Return the row of a line; see `encode_row`. Raises BadArchive."""
    try:
        row = json.loads(line)
        return {name: _decode_value(value) for name, value in row.items()}
    except (ValueError, AttributeError) as error:
        raise BadArchive("one of its rows cannot be read") from error


def _decode_value(value: Any) -> Any:
    return base64.b64decode(value["$bytes"]) if isinstance(value, dict) and set(value) == {"$bytes"} else value
