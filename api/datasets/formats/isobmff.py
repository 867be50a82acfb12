"""The boxes of an ISO base media file (ISO/IEC 14496-12), in which AVIF and HEIC keep their pictures."""

import struct
from collections.abc import Iterator

CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0}  # with the bytes before their boxes
MAX_BOXES = 10_000
Box = tuple[bytes, bytes]


def brands(content: bytes) -> set[bytes]:
    """Return the major and the compatible brands; none if this is no such file."""
    if content[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(content[:4], "big"), len(content))
    return {content[8:12]} | {content[at : at + 4] for at in range(16, end - 3, 4)}


def properties(content: bytes) -> list[Box]:
    """Return the properties of the primary picture: (name, content) each. None if they cannot be read."""
    try:
        meta = _children(content, b"meta")
        (identity,) = struct.unpack_from(">I" if meta[b"pitm"][0] else ">H", meta[b"pitm"], 4)
        parts = dict(_boxes(meta[b"iprp"], 0))
        known = list(_boxes(parts[b"ipco"], 0))
        return [known[index - 1] for index in _associated(parts[b"ipma"], identity) if 0 < index <= len(known)]
    except (KeyError, IndexError, struct.error):
        return []


def without_exif(content: bytes) -> bytes:
    """Return the file with its EXIF disguised as data of an unknown type."""
    found = content.find(b"meta")
    size = int.from_bytes(content[found - 4 : found], "big") if found >= 4 else 0
    end = min(found - 4 + size, len(content))
    return content[:found] + content[found:end].replace(b"Exif\0", b"skip\0") + content[end:] if size else content


def _children(content: bytes, name: bytes) -> dict[bytes, bytes]:
    body = dict(_boxes(content, 0))[name]
    return dict(_boxes(body, CONTAINERS[name]))


def _boxes(content: bytes, at: int) -> Iterator[Box]:
    for _ in range(MAX_BOXES):
        if at + 8 > len(content):
            return
        size, name = struct.unpack_from(">I4s", content, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", content, at + 8)
            head = 16
        end = at + size if size else len(content)
        if size and size < head:
            return
        yield name, content[at + head : end]
        at = end


def _associated(ipma: bytes, identity: int) -> list[int]:
    """Return the numbers of the properties that the box `ipma` gives to an item, from 1."""
    version, wide = ipma[0], ipma[3] & 1
    (entries,) = struct.unpack_from(">I", ipma, 4)
    at = 8
    for _ in range(min(entries, MAX_BOXES)):
        (item,) = struct.unpack_from(">I" if version else ">H", ipma, at)
        at += 4 if version else 2
        count = ipma[at]
        numbers = struct.unpack_from(f">{count}{'H' if wide else 'B'}", ipma, at + 1)
        if item == identity:
            return [number & (0x7FFF if wide else 0x7F) for number in numbers]
        at += 1 + count * (2 if wide else 1)
    return []
