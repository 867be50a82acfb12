"""A zip of pictures, opened with care: nothing is written to disk, names are only names, sizes are counted as read."""

import stat
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from api.datasets.pictures import PictureRefused, Upload, clean_name
from api.settings import ApiSettings

MAX_RATIO = 200  # unpacked to packed; pictures hardly shrink
READ_BYTES = 1 << 16
JUNK = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


def unpack(archive: BinaryIO, filename: str, limits: ApiSettings) -> Iterator[Upload]:
    """The pictures of a zip in order of their names. Raises PictureRefused, naming the archive or the entry."""
    whole = Upload("archive", filename, b"")
    try:
        opened = zipfile.ZipFile(archive)
    except Exception as error:  # of a broken file zipfile promises a BadZipFile, and raises many others
        raise PictureRefused(415, whole, "not a zip archive") from error
    with opened:
        entries = [entry for entry in opened.infolist() if not entry.is_dir() and not _is_junk(entry.filename)]
        if not entries:
            raise PictureRefused(422, whole, "the archive holds no pictures")
        if len(entries) > limits.max_pictures:
            raise PictureRefused(422, whole, f"{len(entries)} files, more than {limits.max_pictures}")
        left = limits.max_body_bytes
        for index, entry in enumerate(sorted(entries, key=lambda entry: entry.filename)):
            upload = Upload(f"archive[{index}]", clean_name(entry.filename, f"entry-{index}"), b"")
            content = _read(opened, entry, upload, limits, left)
            left -= len(content)
            yield Upload(upload.field, upload.filename, content)


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, upload: Upload, limits: ApiSettings, left: int) -> bytes:
    if entry.flag_bits & 1:
        raise PictureRefused(422, upload, "is encrypted")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise PictureRefused(422, upload, "is a link")
    most = min(limits.max_file_bytes, max(entry.compress_size, 1) * MAX_RATIO, left)
    content = bytearray()
    try:
        with archive.open(entry) as stream:
            while piece := stream.read(READ_BYTES):
                content += piece
                if len(content) > most:
                    raise PictureRefused(413, upload, "is too large, or shrinks too well to be a picture")
    except PictureRefused:
        raise
    except Exception as error:  # as above, and whatever each way of packing raises
        raise PictureRefused(422, upload, f"cannot be unpacked: {error}") from error
    return bytes(content)


def _is_junk(name: str) -> bool:
    return name.startswith(JUNK[0]) or name.rsplit("/", 1)[-1] in JUNK[1:]
