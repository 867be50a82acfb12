"""Files that are written whole or not at all, and never over another file."""

import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from api.client.steps import Request, Steps, send

if TYPE_CHECKING:
    from httpx import Response

_NAMED = re.compile(r"filename(?:=\"(?P<plain>[^\"]+)\"|\*=UTF-8''(?P<coded>\S+))$")
_NUMBERED = re.compile(r"(?P<stem>.*-)(?P<number>\d{3,})(?P<suffix>(-[a-z]+)?\.\w+)")


def write_new(path: Path, request: Request) -> Steps[Path]:
    """Write the answer to a new file at `path`. Raises FileExistsError, before anything is requested if it can."""
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path.parent)
    try:
        yield from send(request, temporary)
        _publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_numbered(path: Path, request: Request, titled: bool = False) -> Steps[Path]:
    """Write the answer to a new file at `path` or, if that exists, under the next number that is free; return its path.

    titled: the answer names the file, which is written beside `path`.
    After synthesized-000.png comes synthesized-001.png, after metrics.json metrics-001.json. Of a material,
    synthesized-001-albedo.png comes after synthesized-000-albedo.png.
    """
    temporary = _temporary(path.parent)
    try:
        response = yield from send(request, temporary)
        path = path.with_name(_name_of(response)) if titled else path
        while True:
            with suppress(FileExistsError):
                _publish(temporary, path)
                return path
            path = _next(path)
    finally:
        temporary.unlink(missing_ok=True)


def _name_of(response: "Response") -> str:
    """Return the name that an answer gives its file, without folders: no answer writes elsewhere."""
    found = _NAMED.search(response.headers["Content-Disposition"])
    assert found is not None
    return Path(found["plain"] or unquote(found["coded"])).name


def _next(path: Path) -> Path:
    numbered = _NUMBERED.fullmatch(path.name)
    if numbered is None:
        return path.with_name(f"{path.stem}-001{path.suffix}")
    digits = len(numbered["number"])
    return path.with_name(f"{numbered['stem']}{int(numbered['number']) + 1:0{digits}}{numbered['suffix']}")


def _temporary(folder: Path) -> Path:
    """Create an empty file with a name that nobody else uses."""
    path = folder / f".genconvnet-{uuid.uuid4().hex}.part"
    path.touch(exist_ok=False)
    return path


def _publish(temporary: Path, path: Path) -> None:
    """Give the finished file its name. Raises FileExistsError, also if the name was taken a moment ago."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(f"{path} exists already") from None
        temporary.rename(path)
