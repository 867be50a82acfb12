"""Read a zip of pictures that may be malicious.

Nothing is written to the disk, names are never used as paths, and sizes are counted while unpacking.
"""

import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PureWindowsPath
from typing import BinaryIO

from api.datasets.files import DecodeTask, PictureRefused, UploadedFile, clean_name
from api.datasets.limits import Limits

MAX_RATIO = 200  # of unpacked to packed size; pictures compress far less
READ_BYTES = 1 << 16
IGNORED_FOLDER = "__MACOSX/"
IGNORED_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
LOCAL_HEADER_BYTES = 30
ARCHIVE_SIGNATURES = (
    b"PK\3\4",
    b"PK\5\6",
    b"PK\7\x08",
    b"Rar!\x1a",
    b"7z\xbc\xaf\x27\x1c",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
)


def unpack(archive: BinaryIO, task: DecodeTask, limits: Limits) -> Iterator[UploadedFile]:
    """Yield the pictures of a zip in the order of their names, from `task.first_entry` on.

    Raises PictureRefused, naming the archive and the entry.
    """
    filename = task.filename
    archive_file = UploadedFile("archive", filename, b"")
    try:
        opened = zipfile.ZipFile(archive)
    except MemoryError:
        raise
    except Exception as error:  # zipfile documents BadZipFile for broken files, but raises many others
        raise PictureRefused(415, archive_file, "not a zip archive") from error
    with opened:
        listed = opened.infolist()
        entries = [entry for entry in listed if not entry.is_dir() and not _is_ignored(entry.filename)]
        if not entries:
            raise PictureRefused(422, archive_file, "the archive holds no pictures")
        if len(listed) > 2 * limits.max_pictures or len(entries) > limits.max_pictures:
            raise PictureRefused(422, archive_file, f"{len(listed)} entries, more than {limits.max_pictures} pictures")
        entries.sort(key=lambda entry: entry.filename)
        uploads = [
            UploadedFile(f"archive[{index}]", clean_name(entry.filename, f"entry-{index}"), b"", filename)
            for index, entry in enumerate(entries)
        ]
        _check_directory(entries, uploads, opened.start_dir)
        left = task.bytes_left
        for entry, upload in list(zip(entries, uploads, strict=True))[task.first_entry :]:
            content = _read(opened, entry, upload, limits, left)
            left -= len(content)
            yield replace(upload, content=content)


def _check_directory(entries: Sequence[zipfile.ZipInfo], uploads: Sequence[UploadedFile], directory_at: int) -> None:
    """Check what can be checked without unpacking. directory_at: where the zip's directory begins, in bytes."""
    seen: set[str] = set()
    for entry, upload in zip(entries, uploads, strict=True):
        if entry.filename in seen:
            raise PictureRefused(422, upload, "appears twice in the archive")
        seen.add(entry.filename)
        if _escapes(entry.orig_filename):
            raise PictureRefused(422, upload, "has a path that leads out of the archive")
        if entry.flag_bits & 0x41:  # bit 0: encryption, bit 6: strong encryption
            raise PictureRefused(422, upload, "is encrypted")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise PictureRefused(422, upload, "is a link" if kind == stat.S_IFLNK else "is not a regular file")
    _check_overlaps(entries, uploads, directory_at)


def _check_overlaps(entries: Sequence[zipfile.ZipInfo], uploads: Sequence[UploadedFile], directory_at: int) -> None:
    """Refuse entries that share bytes: a zip bomb lets many entries unpack the same ones."""
    placed = sorted(zip(entries, uploads, strict=True), key=lambda pair: pair[0].header_offset)
    begins = [entry.header_offset for entry, _ in placed[1:]] + [directory_at]
    for (entry, upload), following in zip(placed, begins, strict=True):
        if entry.header_offset + LOCAL_HEADER_BYTES + entry.compress_size > following:
            raise PictureRefused(422, upload, "overlaps the next entry of the archive")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, upload: UploadedFile, limits: Limits, left: int) -> bytes:
    """Unpack an entry. left: how many bytes may still be unpacked for this request."""
    most = min(limits.max_file_bytes, max(entry.compress_size, 1) * MAX_RATIO, left)
    content = bytearray()
    try:
        with archive.open(entry) as stream:
            while piece := stream.read(READ_BYTES):
                content += piece
                if len(content) > most:
                    raise PictureRefused(413, upload, "is too large, or compresses too well to be a picture")
    except (PictureRefused, MemoryError):
        raise
    except Exception as error:  # as above, and what each decompressor raises
        raise PictureRefused(422, upload, f"cannot be unpacked: {error}") from error
    if content.startswith(ARCHIVE_SIGNATURES):
        raise PictureRefused(415, upload, "is an archive itself; pictures are expected")
    return bytes(content)


def _escapes(name: str) -> bool:
    """Return True if the path is absolute, has a drive or goes up, on any system; Windows splits at both slashes."""
    path = PureWindowsPath(name)
    return bool(path.drive or path.root) or ".." in path.parts or "\0" in name


def _is_ignored(name: str) -> bool:
    return name.startswith(IGNORED_FOLDER) or name.rsplit("/", 1)[-1] in IGNORED_FILES
