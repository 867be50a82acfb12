"""The files of the page, held in memory, compressed, and named by a version that changes with any of them."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "studio"
PAGE = "index.html"
MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
COMPRESSIBLE = {".js", ".css", ".html", ".svg"}


@dataclass(frozen=True)
class Asset:
    """A file. compressed: by gzip, None if the file is compressed in itself."""

    content: bytes
    compressed: bytes | None
    media_type: str


@dataclass(frozen=True)
class Assets:
    """All files by their path below the folder, with "/" between its parts. version: a digest of them all."""

    files: Mapping[str, Asset]
    version: str

    @property
    def modules(self) -> list[str]:
        """The scripts, which the page names at once so that none waits until another imports it."""
        return sorted(path for path in self.files if path.endswith(".js"))


@cache
def load() -> Assets:
    """Read the files, once in a process."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.is_file())
    files = {path.relative_to(FOLDER).as_posix(): _read(path) for path in paths}
    digest = hashlib.sha256()
    for name, asset in files.items():
        digest.update(name.encode() + b"\0" + hashlib.sha256(asset.content).digest())
    return Assets(files, digest.hexdigest()[:16])


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    media_type = MEDIA_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain; charset=utf-8"
    return Asset(content, gzip.compress(content, mtime=0) if path.suffix in COMPRESSIBLE else None, media_type)
