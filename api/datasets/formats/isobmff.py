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
        return _properties(meta, _primary(meta))
    except (KeyError, IndexError, struct.error):
        return []


def coded_properties(content: bytes) -> list[Box]:
    """Return the properties of the primary picture or, if it is made of tiles, of the first of them."""
    try:
        meta = _children(content, b"meta")
        return _properties(meta, _coded(meta))
    except (KeyError, IndexError, struct.error):
        return []


def picture_data(content: bytes) -> bytes:
    """Return the coded data of the primary picture, or of the first tile that it is made of; empty if not found."""
    try:
        meta = _children(content, b"meta")
        return _first_extent(content, meta[b"iloc"], _coded(meta))
    except (KeyError, IndexError, struct.error):
        return b""


def _primary(meta: dict[bytes, bytes]) -> int:
    """Return the number of the primary picture."""
    identity: int = struct.unpack_from(">I" if meta[b"pitm"][0] else ">H", meta[b"pitm"], 4)[0]
    return identity


def _coded(meta: dict[bytes, bytes]) -> int:
    """Return the number of the primary picture, or of the first tile that it is made of."""
    identity = _primary(meta)
    wide = meta[b"iref"][0] if b"iref" in meta else 0
    for name, body in _boxes(meta.get(b"iref", b""), 4):
        first, number = (">I", 4) if wide else (">H", 2)
        if name == b"dimg" and struct.unpack_from(first, body) == (identity,):
            tile: int = struct.unpack_from(first, body, number + 2)[0]
            return tile
    return identity


def _properties(meta: dict[bytes, bytes], identity: int) -> list[Box]:
    parts = dict(_boxes(meta[b"iprp"], 0))
    known = list(_boxes(parts[b"ipco"], 0))
    return [known[index - 1] for index in _associated(parts[b"ipma"], identity) if 0 < index <= len(known)]


def _first_extent(content: bytes, iloc: bytes, identity: int) -> bytes:
    """Return the first part of an item's data, by the box `iloc`."""
    version, sizes = iloc[0], (iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4, iloc[5] & 15)
    offset_bytes, length_bytes, base_bytes, index_bytes = sizes
    number = 4 if version == 2 else 2
    at = 6

    def read(count: int) -> int:
        nonlocal at
        at += count
        if at > len(iloc):
            raise IndexError
        return int.from_bytes(iloc[at - count : at], "big")

    for _ in range(min(read(number), MAX_BOXES)):
        item, method = read(number), read(2) & 15 if version else 0
        read(2)
        base, extents = read(base_bytes), []
        for _ in range(read(2)):
            read(index_bytes if version else 0)
            extents.append((read(offset_bytes), read(length_bytes)))
        if item == identity and method == 0 and extents:
            begin, length = base + extents[0][0], extents[0][1]
            return content[begin : begin + length] if length else content[begin:]
    return b""


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
