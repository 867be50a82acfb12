"""Uploaded files and what decoding made of them.

The API imports this module, so it must not need Pillow; decoders do too, so it must not need pydantic, which would take
as long to import as all else that they need.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from core.schemas.materials import Role

CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, surrogates, line and paragraph breaks
OVERRIDES = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})  # of the text's direction


@dataclass(frozen=True)
class UploadedFile:
    """A file as the client sent it. field: its place in the request. archive: the name of the zip that it was in."""

    field: str
    filename: str
    content: bytes
    archive: str | None = None


@dataclass(frozen=True)
class DecodeTask:
    """What a decoder is to do: decode a picture, or a zip from entry `first_entry` on, or shrink a stored picture.

    bytes_left: how many bytes may still be unpacked for this request. roles: of the maps of a material, by file name.
    """

    kind: Literal["picture", "archive", "thumbnail"]
    field: str
    filename: str
    bytes_left: int
    first_entry: int = 0
    roles: "Mapping[str, Role] | None" = None


@dataclass(frozen=True)
class DecodedPicture:
    """A picture as it is stored. mode: L, LA, RGB or RGBA. notes: what its owner should know about it.

    bits: of each channel; 16 only in maps of materials.
    """

    filename: str
    png: bytes
    width: int
    height: int
    mode: str
    notes: list[str]
    bits: int = 8


@dataclass(frozen=True)
class Thumbnail:
    """A small copy of a stored picture."""

    webp: bytes


@dataclass(frozen=True)
class SkippedFile:
    """A file of an archive that is no picture, and why it was skipped."""

    filename: str
    reason: str


class PictureRefused(Exception):
    """A file cannot be used. status: 413 too large, 415 not a format that we read, 422 broken or out of bounds."""

    def __init__(self, status: int, file: UploadedFile, reason: str) -> None:
        name = f"{file.archive}: {file.filename}" if file.archive else file.filename
        super().__init__(f"{name}: {reason}")
        self.status, self.file, self.reason = status, file, reason


def clean_name(name: str | None, fallback: str) -> str:
    """Return the last part of a path, shortened to its last 200 characters.

    All of Unicode is kept, such as narrow spaces and joiners, except line breaks, control characters, and those that
    change the direction of the text and so could make a name look like another.
    """
    last = PurePosixPath((name or "").replace("\\", "/")).name
    return "".join(letter for letter in last if not _is_control(letter))[-200:] or fallback


def _is_control(letter: str) -> bool:
    return unicodedata.category(letter) in CONTROL_CATEGORIES or unicodedata.bidirectional(letter) in OVERRIDES
