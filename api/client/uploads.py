"""Pictures, in all the forms that callers have them, as the files of a multipart form."""

import io
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Union

from api.client.data import Dataset, Skipped
from core.schemas.companion_files import skip_reason
from core.schemas.materials import Role

if TYPE_CHECKING:
    from PIL.Image import Image

PictureSource = Union[str, os.PathLike[str], bytes, IO[bytes], "Image"]
"""A path of a picture, of a zip or of a folder of pictures; or encoded pictures or a zip; or a picture of Pillow."""
Material = Mapping[Role, PictureSource]
"""The aligned maps of a material, by role: albedo, normal, height, roughness, metalness, occlusion, other."""
Pictures = PictureSource | Iterable[PictureSource] | Material
PicturesOrDataset = Pictures | Dataset

Part = tuple[str, IO[bytes] | io.RawIOBase | bytes]  # filename, content

_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})


class FileToSend(io.RawIOBase):
    """A file that is opened when its first byte is needed and closed after its last.

    An upload may be of thousands of files, more than a process may have open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._size = path.stat().st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._file = self._file or self._path.open("rb")
        content: bytes = self._file.read(size)
        if not content:
            self._close_file()
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to the beginning, or return the size: httpx needs no other position."""
        self._close_file()
        return self._size if whence == io.SEEK_END else offset

    def close(self) -> None:
        self._close_file()
        super().close()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def part_of(path: Path) -> Part:
    """Return a file to send. What is not a regular file, such as a pipe, is read now, because it can be read only once.

    Bytes of its name that are not UTF-8 are sent as replacement characters. Raises OSError if it cannot be read.
    """
    return _name_of(path), FileToSend(path) if stat.S_ISREG(path.stat().st_mode) else path.read_bytes()


def _name_of(path: Path) -> str:
    return os.fsencode(path.name).decode(errors="replace")


def parts_of(pictures: Pictures) -> list[Part]:
    """Return the files to send. Raises OSError if a path cannot be read, and ValueError if there are none."""
    return _files_of(pictures).parts


@dataclass(frozen=True)
class Upload:
    """The files to send, and which of them is which map of a material: roles by file name, none for pictures.

    skipped: what was left out of folders.
    """

    parts: list[Part]
    roles: dict[str, Role] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)


def upload_of(pictures: Pictures) -> Upload:
    """Return what to send as a dataset. Raises as `parts_of`, and ValueError if a map is not one file."""
    if not isinstance(pictures, Mapping):
        return _files_of(pictures)
    parts, skipped = [], []
    for role, picture in pictures.items():
        files = _files_of(picture)
        if len(files.parts) != 1:
            raise ValueError(f"the {role} map must be one file, not {len(files.parts)}")
        parts += files.parts
        skipped += files.skipped
    names = [name for name, _ in parts]
    if len(set(names)) < len(names):  # such as a folder for each map
        parts = [(f"{role}-{name}", content) for role, (name, content) in zip(pictures, parts, strict=True)]
    return Upload(parts, {name: role for role, (name, _) in zip(pictures, parts, strict=True)}, skipped)


def _files_of(pictures: Pictures) -> Upload:
    several: list[PictureSource] = [pictures] if _is_one(pictures) else list(pictures)  # type: ignore[arg-type,list-item]
    upload = Upload([])
    for index, picture in enumerate(several):
        if isinstance(picture, str | os.PathLike) and (folder := Path(picture)).is_dir():
            _add_folder(upload, folder)
        else:
            upload.parts.append(_part(picture, index))
    if not upload.parts:
        reasons = ", ".join(f"{one.file} ({one.reason})" for one in upload.skipped[:3])
        more = f" and {len(upload.skipped) - 3} more" if len(upload.skipped) > 3 else ""
        raise ValueError("there are no pictures to upload" + (f"; skipped: {reasons}{more}" if reasons else ""))
    return upload


def _add_folder(upload: Upload, folder: Path) -> None:
    """Add the files of a folder without what would be skipped in a zip, and without folders in it."""
    for path in sorted(folder.iterdir()):
        kind = None if path.is_file() else "a folder in a folder" if path.is_dir() else "not a regular file"
        reason = skip_reason(path.name) or kind
        if reason is None:
            upload.parts.append(part_of(path))
        else:
            upload.skipped.append(Skipped(file=_name_of(path), reason=reason))


def _is_one(pictures: object) -> bool:
    return isinstance(pictures, str | bytes | os.PathLike) or hasattr(pictures, "read") or _is_pillow(pictures)


def _is_pillow(picture: object) -> bool:
    return hasattr(picture, "save") and hasattr(picture, "mode")


def _part(picture: PictureSource, index: int) -> Part:
    if isinstance(picture, bytes):
        return f"picture-{index}", picture
    if isinstance(picture, str | os.PathLike):
        return part_of(Path(picture))
    if _is_pillow(picture):
        return _encoded(picture, f"picture-{index}")  # type: ignore[arg-type]
    return Path(str(getattr(picture, "name", f"picture-{index}"))).name, _repeatable(picture)  # type: ignore[arg-type]


def _repeatable(file: IO[bytes]) -> IO[bytes] | bytes:
    """Return what can be sent twice: a file, which httpx reads from its beginning each time, or a stream's content."""
    is_seekable = getattr(file, "seekable", None)
    return file if is_seekable is not None and is_seekable() else file.read()


def _encoded(picture: "Image", name: str) -> Part:
    """Return the picture as PNG or, if its mode has no place there, as TIFF; with its profile and its orientation."""
    kind = "png" if picture.mode in _PNG_MODES else "tiff"
    buffer = io.BytesIO()
    with suppress(AttributeError):
        name = Path(picture.filename).stem or name  # type: ignore[attr-defined]
    exif = picture.getexif()
    picture.save(buffer, kind.upper(), **({"exif": exif} if exif else {}))
    return f"{name}.{kind}", buffer.getvalue()
