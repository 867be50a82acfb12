"""The form of a backup: a tar of files and rows, compressed, and at its end a list by which it is checked.

In order: `backup.json` (format, revision), `blobs/…`, `rows/….jsonl`, `contents.jsonl`. A file may come twice, where it
was replaced while the backup was made: then the last counts. An archive without its list was cut short.
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
"""How the libraries say that an archive was cut short or damaged, also while a part of it is read."""


class BadArchive(ValueError):
    """It is no backup of ours, or not a whole one; the message says what is wrong."""


@dataclass(frozen=True)
class ArchiveEntry:
    """A part of an archive that counts, by which it is checked."""

    name: str
    bytes: int
    sha256: str


class Writer:
    """Writes an archive to `file`, part by part. Only one that was finished is whole."""

    def __init__(self, file: IO[bytes], revision: str, created_at: float) -> None:
        self._gzip = gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1)
        self._tar = tarfile.open(fileobj=self._gzip, mode="w|")  # noqa: SIM115 - closed by `finish`
        head = {"format": FORMAT, "revision": revision, "created_at": created_at}
        self.add(HEADER, json.dumps(head).encode())

    def add(self, name: str, content: bytes) -> ArchiveEntry:
        return self.copy(name, io.BytesIO(content), len(content), hashlib.sha256(content).hexdigest())

    def copy(self, name: str, source: IO[bytes], size: int, sha256: str) -> ArchiveEntry:
        info = tarfile.TarInfo(name)
        info.size = size
        self._tar.addfile(info, source)
        return ArchiveEntry(name, size, sha256)

    def finish(self, entries: list[ArchiveEntry]) -> None:
        self.add(CONTENTS, b"".join(json.dumps(asdict(entry)).encode() + b"\n" for entry in entries))

    def close(self) -> None:
        self._tar.close()
        self._gzip.close()


def read(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """Each part's name and content, in order. Raises BadArchive for a name, a kind or bytes that are not ours."""
    try:
        with (
            gzip.GzipFile(fileobj=file, mode="rb") as unpacked_file,
            tarfile.open(fileobj=unpacked_file, mode="r|") as tar,
        ):
            for info in tar:
                if not info.isreg() or not _NAME.fullmatch(info.name):
                    raise BadArchive(f"it holds {info.name!r}, which is no part of a backup")
                content = tar.extractfile(info)
                assert content is not None
                yield info.name, content
    except UNREADABLE as error:
        raise BadArchive(f"it cannot be read to its end: {error}") from error


def read_header(content: bytes) -> str:
    """The revision of the rows. Raises BadArchive."""
    try:
        head = json.loads(content)
        format_, revision = head["format"], head["revision"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadArchive("it does not begin as a backup does") from error
    if format_ != FORMAT:
        raise BadArchive(f"its format is {format_}, this release reads {FORMAT}")
    return str(revision)


def read_contents(content: bytes) -> dict[str, ArchiveEntry]:
    """Raises BadArchive."""
    try:
        return {entry.name: entry for entry in (ArchiveEntry(**json.loads(line)) for line in content.splitlines())}
    except (ValueError, TypeError) as error:
        raise BadArchive(f"its {CONTENTS} cannot be read") from error


def encode_row(row: dict[str, Any]) -> bytes:
    """A row as a line, the same for every kind of database."""
    return json.dumps(row, default=lambda value: {"$bytes": base64.b64encode(value).decode()}).encode() + b"\n"


def decode_row(line: bytes) -> dict[str, Any]:
    """The row of a line. Raises BadArchive."""
    try:
        row = json.loads(line)
        return {name: _decode_value(value) for name, value in row.items()}
    except (ValueError, AttributeError) as error:
        raise BadArchive("one of its rows cannot be read") from error


def _decode_value(value: Any) -> Any:
    return base64.b64decode(value["$bytes"]) if isinstance(value, dict) and set(value) == {"$bytes"} else value
