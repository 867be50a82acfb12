"""Files that are written whole or not at all, and never over another file."""

import itertools
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from api.client.sans_io import Request, Steps, send

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

    titled: the answer names the file, which is written beside `path`; `path` is used if it does not.
    After synthesized-000.png comes synthesized-001.png, after metrics.json metrics-001.json. Of a material,
    synthesized-001-albedo.png comes after synthesized-000-albedo.png. A titled name ends with an id, and the number
    comes behind it.
    """
    temporary = _temporary(path.parent)
    try:
        response = yield from send(request, temporary)
        title = _name_of(response) if titled else None
        paths = _numbered(path) if title is None else _copies(path.with_name(title))
        while True:
            path = next(paths)
            with suppress(FileExistsError):
                _publish(temporary, path)
                return path
    finally:
        temporary.unlink(missing_ok=True)


def _name_of(response: "Response") -> str | None:
    """Return the name that an answer gives its file, without folders: no answer writes elsewhere.

    None if it gives no name: a proxy may drop the header.
    """
    found = _NAMED.search(response.headers.get("Content-Disposition", ""))
    return Path(found["plain"] or unquote(found["coded"])).name if found else None


def _copies(path: Path) -> Iterator[Path]:
    yield path
    for number in itertools.count(1):
        yield path.with_name(f"{path.stem}-{number:03}{path.suffix}")


def _numbered(path: Path) -> Iterator[Path]:
    while True:
        yield path
        path = _next(path)


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
