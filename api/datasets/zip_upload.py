"""Read a zip of pictures that may be malicious.

Nothing is written to the disk, names are never used as paths, and sizes are counted while unpacking.
"""

import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import PureWindowsPath
from typing import BinaryIO

from api.datasets.files import DecodeTask, PictureRefused, SkippedFile, UploadedFile, clean_name
from api.datasets.limits import Limits
from core.schemas.companion_files import skip_reason

MAX_RATIO = 200  # of unpacked to packed size; pictures compress far less
READ_BYTES = 1 << 16
SHOWN_CHARACTERS = 200  # of the path of a skipped entry: its end
ENTRIES_PER_PICTURE = 6  # that an archive may have beside its pictures: captions, metadata of macOS, folders
ZIP_SIGNATURES = (b"PK\3\4", b"PK\5\6")  # of a zip, and of an empty one
UTF8_FLAG = 0x800  # of an entry: its name is UTF-8
FOLDER_ATTRIBUTE = 0x10  # as MS-DOS and Windows mark folders
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


def unpack(
    archive: BinaryIO, task: DecodeTask, limits: Limits, announce: Callable[[UploadedFile], None]
) -> Iterator[UploadedFile | SkippedFile]:
    """Yield the pictures of a zip in the order of their names, from `task.first_entry` on; first what is skipped.

    `announce` is called with each picture, still without content, before it is unpacked. Raises PictureRefused, naming
    the archive and the entry.
    """
    filename = task.filename
    archive_file = UploadedFile(task.field, filename, b"")
    with _open(archive, archive_file) as opened:
        listed = opened.infolist()
        files = [entry for entry in listed if not _is_folder(entry)]
        skipped = [
            SkippedFile(_path(entry)[-SHOWN_CHARACTERS:], reason) for entry in files if (reason := _skip_reason(entry))
        ]
        entries = [entry for entry in files if not _skip_reason(entry)]
        if not entries:
            raise PictureRefused(422, archive_file, f"the archive holds no pictures{_and_skipped(skipped)}")
        if len(entries) > limits.max_pictures:
            raise PictureRefused(422, archive_file, f"{len(entries)} pictures, more than {limits.max_pictures}")
        if len(listed) > (most := ENTRIES_PER_PICTURE * limits.max_pictures):
            raise PictureRefused(422, archive_file, f"{len(listed)} entries, more than {most}")
        entries.sort(key=lambda entry: entry.filename)
        uploads = [
            UploadedFile(f"{task.field}[{index}]", clean_name(_path(entry), f"entry-{index}"), b"", filename)
            for index, entry in enumerate(entries)
        ]
        _check_directory(entries, uploads, opened.start_dir)
        if task.first_entry == 0:
            yield from skipped
        left = task.bytes_left
        for entry, upload in list(zip(entries, uploads, strict=True))[task.first_entry :]:
            announce(upload)
            content = _read(opened, entry, upload, limits, left)
            left -= len(content)
            yield replace(upload, content=content)


def _open(archive: BinaryIO, archive_file: UploadedFile) -> zipfile.ZipFile:
    """Open a zip. Raises PictureRefused if it is damaged, or none."""
    try:
        return zipfile.ZipFile(archive)
    except MemoryError:
        raise
    except Exception as error:  # zipfile documents BadZipFile for broken files, but raises many others
        if _begins_as_zip(archive):
            raise PictureRefused(422, archive_file, "a broken zip archive: it is damaged or was cut off") from error
        raise PictureRefused(415, archive_file, "not a zip archive; send pictures in the field images") from error


def _begins_as_zip(archive: BinaryIO) -> bool:
    archive.seek(0)
    return archive.read(len(ZIP_SIGNATURES[0])) in ZIP_SIGNATURES


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


def _path(entry: zipfile.ZipInfo) -> str:
    """Return the path of an entry, with slashes. Some tools write backslashes, or UTF-8 without saying so."""
    path = entry.filename
    if not entry.flag_bits & UTF8_FLAG:
        with suppress(UnicodeError):
            path = path.encode("cp437").decode()
    return path.replace("\\", "/")


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    marked = bool(entry.external_attr & FOLDER_ATTRIBUTE) and entry.file_size == 0
    return entry.filename.endswith(("/", "\\")) or marked


def _skip_reason(entry: zipfile.ZipInfo) -> str | None:
    """Return why the entry, by its path, is no picture to learn from; None if it may be one."""
    return None if _escapes(entry.orig_filename) else skip_reason(_path(entry))  # what escapes is refused later


def _and_skipped(skipped: Sequence[SkippedFile]) -> str:
    if not skipped:
        return ""
    shown = ", ".join(f"{clean_name(one.filename, 'a file')} ({one.reason})" for one in skipped[:3])
    return f"; skipped: {shown}" + (f" and {len(skipped) - 3} more" if len(skipped) > 3 else "")
