"""The directories of a TIFF file: reading them, and writing one for libtiff."""

import struct
from dataclasses import dataclass

TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q"}
MAX_PAGES, MAX_ENTRIES = 10_000, 4096


@dataclass(frozen=True)
class Field:
    """An entry of a directory: its type, its bytes as in the file, and its numbers if it holds whole ones."""

    kind: int
    raw: bytes
    numbers: tuple[int, ...]


class Directory:
    """A directory of tags. order: < or >, as struct has it."""

    def __init__(self, order: str, fields: dict[int, Field]) -> None:
        self.order, self.fields = order, fields

    def numbers(self, tag: int, *default: int) -> tuple[int, ...]:
        field = self.fields.get(tag)
        return field.numbers if field is not None and field.numbers else default

    def number(self, tag: int, default: int = 0) -> int:
        return self.numbers(tag, default)[0]


def read_directories(content: bytes) -> list[Directory]:
    """Return the directory of each page, as far as they can be read. Raises struct.error if the first cannot."""
    order = "<" if content[:2] == b"II" else ">"
    large = content[2:4] in (b"+\0", b"\0+")  # BigTIFF
    (at,) = struct.unpack_from(f"{order}{'Q' if large else 'I'}", content, 8 if large else 4)
    found: list[Directory] = []
    seen: set[int] = set()
    while at and at not in seen and len(found) < MAX_PAGES:
        seen.add(at)
        try:
            directory, at = _directory(content, order, large, at)
        except struct.error:
            if not found:
                raise
            break  # a later page is broken, which nobody needs
        found.append(directory)
    return found


def _directory(content: bytes, order: str, large: bool, at: int) -> tuple[Directory, int]:
    """Read the directory at `at`; return it and where the next one is."""
    head, entry, offset = ("Q", "HHQ8s", "Q") if large else ("H", "HHI4s", "I")
    (count,) = struct.unpack_from(order + head, content, at)
    at += struct.calcsize(order + head)
    fields: dict[int, Field] = {}
    for _ in range(min(count, MAX_ENTRIES)):
        tag, kind, length, value = struct.unpack_from(order + entry, content, at)
        at += struct.calcsize(order + entry)
        size = struct.calcsize(f"{order}{TYPES.get(kind, '')}") * length
        if kind not in TYPES or size > len(content):
            continue
        if size > len(value):
            (begin,) = struct.unpack(order + offset, value)
            value = content[begin : begin + size]
        raw = value[:size]
        whole = kind in (1, 3, 4, 13, 16) and len(raw) == size
        fields[tag] = Field(kind, raw, struct.unpack(f"{order}{length}{TYPES[kind]}", raw) if whole else ())
    (following,) = struct.unpack_from(order + offset, content, at)
    return Directory(order, fields), following


def with_directory(content: bytes, order: str, fields: dict[int, Field]) -> bytes:
    """Return the file with `fields` as its only directory."""
    at = len(content) + len(content) % 2
    place = at + 2 + 12 * len(fields) + 4
    entries, outside = b"", b""
    for tag, field in sorted(fields.items()):
        kind, raw, numbers = field.kind, field.raw, field.numbers
        if kind == 16:  # the eight-byte numbers of BigTIFF
            kind, raw = 4, struct.pack(f"{order}{len(numbers)}I", *numbers)
        count = len(raw) // struct.calcsize(f"{order}{TYPES[kind]}")
        value = raw.ljust(4, b"\0")
        if len(raw) > 4:
            value = struct.pack(f"{order}I", place + len(outside))
            outside += raw + bytes(len(raw) % 2)
        entries += struct.pack(f"{order}HHI", tag, kind, count) + value
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    directory = struct.pack(f"{order}H", len(fields)) + entries + bytes(4) + outside
    return b"".join([head, memoryview(content)[8:], bytes(len(content) % 2), directory])
