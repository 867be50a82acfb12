"""Files on their way in, and what becomes of them. Nothing here opens one, so that the API needs no Pillow for it."""

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Upload:
    """A file as it came; `field` says where in the request, `archive` in which archive."""

    field: str
    filename: str
    content: bytes
    archive: str | None = None


@dataclass(frozen=True)
class Task:
    """What a decoder does in a turn: a picture, or an archive from its entry `begin` on, of which `left` bytes may be
    unpacked."""

    kind: str  # picture or archive
    field: str
    filename: str
    left: int
    begin: int = 0


@dataclass(frozen=True)
class Picture:
    """A picture as it is stored. mode: L, LA, RGB or RGBA."""

    filename: str
    png: bytes
    width: int
    height: int
    mode: str


class PictureRefused(Exception):
    """413 too large, 415 not a picture we read, 422 broken or out of bounds; the reason is for the file's owner."""

    def __init__(self, status: int, upload: Upload, reason: str) -> None:
        where = f"{upload.archive}: {upload.filename}" if upload.archive else upload.filename
        super().__init__(f"{where}: {reason}")
        self.status, self.upload, self.reason = status, upload, reason


def clean_name(name: str | None, fallback: str) -> str:
    """The last part of a path, without control characters, at most 200 characters."""
    last = PurePosixPath((name or "").replace("\\", "/")).name
    return "".join(letter for letter in last if letter.isprintable())[-200:] or fallback
