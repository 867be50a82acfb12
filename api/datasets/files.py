"""Uploaded files and what decoding made of them. The API imports this module, so it must not need Pillow."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal


@dataclass(frozen=True)
class UploadedFile:
    """A file as the client sent it. field: its place in the request. archive: the name of the zip that it was in."""

    field: str
    filename: str
    content: bytes
    archive: str | None = None


@dataclass(frozen=True)
class DecodeTask:
    """What a decoder is to do: decode a picture, or a zip from entry `first_entry` on.

    bytes_left: how many bytes may still be unpacked for this request.
    """

    kind: Literal["picture", "archive"]
    field: str
    filename: str
    bytes_left: int
    first_entry: int = 0


@dataclass(frozen=True)
class DecodedPicture:
    """A picture as it is stored. mode: L, LA, RGB or RGBA."""

    filename: str
    png: bytes
    width: int
    height: int
    mode: str


class PictureRefused(Exception):
    """A file cannot be used. status: 413 too large, 415 not a format that we read, 422 broken or out of bounds."""

    def __init__(self, status: int, file: UploadedFile, reason: str) -> None:
        name = f"{file.archive}: {file.filename}" if file.archive else file.filename
        super().__init__(f"{name}: {reason}")
        self.status, self.file, self.reason = status, file, reason


def clean_name(name: str | None, fallback: str) -> str:
    """Return the last part of a path, without control characters, shortened to its last 200 characters."""
    last = PurePosixPath((name or "").replace("\\", "/")).name
    return "".join(letter for letter in last if letter.isprintable())[-200:] or fallback
