"""Names under which browsers and `curl -OJ` save files: they say what a file is, and are allowed on every system."""

import re
import unicodedata
from urllib.parse import quote

SUBJECT_LENGTH = 80
_ENDING = re.compile(r"\.[a-z]\w{1,4}( and \d+ more)?$", re.IGNORECASE)
_FORBIDDEN = frozenset('<>:"/\\|?*')  # on Windows


def download_name(subject: str | None, kind: str, item_id: str, suffix: str) -> str:
    """Return a file's name, such as "Brick wall-model-1a2b3c.zip": its subject, its kind and the end of its id."""
    return "-".join([*filter(None, [_allowed(subject or "")]), kind, item_id[-6:]]) + suffix


def without_ending(pictures: str | None) -> str | None:
    """Return what pictures are called ("brick.jpg", "brick.jpg and 2 more") without the ending of a file's name."""
    return None if pictures is None else _ENDING.sub("", pictures)


def disposition(kind: str, filename: str) -> str:
    """Return the header Content-Disposition. kind: inline or attachment."""
    plain = "".join(letter if letter.isascii() and letter.isprintable() else "_" for letter in filename)
    plain = plain.replace("\\", "_").replace('"', "_")
    coded = "" if plain == filename else f"; filename*=UTF-8''{quote(filename, safe='')}"
    return f'{kind}; filename="{plain}"{coded}'


def _allowed(text: str) -> str:
    """Return a text without what no file's name may contain, or begin with."""
    kept = (" " if one in _FORBIDDEN or unicodedata.category(one)[0] in "CZ" else one for one in text)
    return " ".join("".join(kept).split())[:SUBJECT_LENGTH].strip(". ")
