"""A zip of pictures, opened with care: nothing is written to disk, names are only names, sizes are counted as read."""

import stat
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import PureWindowsPath
from typing import BinaryIO

from api.datasets.files import PictureRefused, Task, Upload, clean_name
from api.datasets.limits import Limits

MAX_RATIO = 200  # unpacked to packed; pictures hardly shrink
READ_BYTES = 1 << 16
JUNK = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
LOCAL_HEADER_BYTES = 30
ARCHIVES = (b"PK\3\4", b"PK\5\6", b"PK\7\x08", b"Rar!\x1a", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")


def unpack(archive: BinaryIO, task: Task, limits: Limits) -> Iterator[Upload]:
    """The pictures of a zip in order of their names. Raises PictureRefused, naming the archive and the entry."""
    filename = task.filename
    whole = Upload("archive", filename, b"")
    try:
        opened = zipfile.ZipFile(archive)
    except MemoryError:
        raise
    except Exception as error:  # of a broken file zipfile promises a BadZipFile, and raises many others
        raise PictureRefused(415, whole, "not a zip archive") from error
    with opened:
        listed = opened.infolist()
        entries = [entry for entry in listed if not entry.is_dir() and not _is_junk(entry.filename)]
        if not entries:
            raise PictureRefused(422, whole, "the archive holds no pictures")
        if len(listed) > 2 * limits.max_pictures or len(entries) > limits.max_pictures:
            raise PictureRefused(422, whole, f"{len(listed)} entries, more than {limits.max_pictures} pictures")
        entries.sort(key=lambda entry: entry.filename)
        uploads = [
            Upload(f"archive[{index}]", clean_name(entry.filename, f"entry-{index}"), b"", filename)
            for index, entry in enumerate(entries)
        ]
        _check(entries, uploads, opened.start_dir)
        left = task.left
        for entry, upload in list(zip(entries, uploads, strict=True))[task.begin :]:
            content = _read(opened, entry, upload, limits, left)
            left -= len(content)
            yield Upload(upload.field, upload.filename, content, filename)


def _check(entries: Sequence[zipfile.ZipInfo], uploads: Sequence[Upload], directory_at: int) -> None:
    """What the directory tells without anything being unpacked."""
    seen: set[str] = set()
    for entry, upload in zip(entries, uploads, strict=True):
        if entry.filename in seen:
            raise PictureRefused(422, upload, "is there twice: two entries have the same name")
        seen.add(entry.filename)
        if _leads_out(entry.orig_filename):
            raise PictureRefused(422, upload, "has a name that leads out of the archive")
        if entry.flag_bits & 0x41:  # the second bit: strong encryption
            raise PictureRefused(422, upload, "is encrypted")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise PictureRefused(422, upload, "is a link" if kind == stat.S_IFLNK else "is no plain file")
    _check_places(entries, uploads, directory_at)


def _check_places(entries: Sequence[zipfile.ZipInfo], uploads: Sequence[Upload], directory_at: int) -> None:
    """No two entries share bytes: a bomb is made of one kernel that many entries unpack."""
    placed = sorted(zip(entries, uploads, strict=True), key=lambda pair: pair[0].header_offset)
    begins = [entry.header_offset for entry, _ in placed[1:]] + [directory_at]
    for (entry, upload), following in zip(placed, begins, strict=True):
        if entry.header_offset + LOCAL_HEADER_BYTES + entry.compress_size > following:
            raise PictureRefused(422, upload, "overlaps what follows it in the archive")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, upload: Upload, limits: Limits, left: int) -> bytes:
    most = min(limits.max_file_bytes, max(entry.compress_size, 1) * MAX_RATIO, left)
    content = bytearray()
    try:
        with archive.open(entry) as stream:
            while piece := stream.read(READ_BYTES):
                content += piece
                if len(content) > most:
                    raise PictureRefused(413, upload, "is too large, or shrinks too well to be a picture")
    except (PictureRefused, MemoryError):
        raise
    except Exception as error:  # as above, and whatever each way of packing raises
        raise PictureRefused(422, upload, f"cannot be unpacked: {error}") from error
    if content.startswith(ARCHIVES):
        raise PictureRefused(415, upload, "is an archive itself; pictures are expected")
    return bytes(content)


def _leads_out(name: str) -> bool:
    """By the rules of any system: absolute, with a drive, or with a step up. Windows splits by both slashes."""
    path = PureWindowsPath(name)
    return bool(path.drive or path.root) or ".." in path.parts or "\0" in name


def _is_junk(name: str) -> bool:
    return name.startswith(JUNK[0]) or name.rsplit("/", 1)[-1] in JUNK[1:]
