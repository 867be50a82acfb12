"""BMP. Pillow reads few of its layouts of bits, no profile, and paints what run lengths leave out in a wrong colour."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from api.datasets.formats.opened import Decoded, NotSupported, NotThisFormat, Opened
from core.pictures.icc import read_usable
from core.pictures.profiles import Profile

FILE_HEADER, CORE_HEADER, V2, V3, V4, V5 = 14, 12, 52, 56, 108, 124
HEADERS = {CORE_HEADER, 16, 40, V2, V3, 64, V4, V5}
UNCOMPRESSED, RLE8, RLE4, BIT_FIELDS, ALPHA_BIT_FIELDS = 0, 1, 2, 3, 6
DEFAULT_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
EMBEDDED = b"DEBM"


@dataclass(frozen=True)
class Header:
    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    size: int
    pixels_at: int
    palette_at: int
    colours: int
    masks: tuple[int, int, int, int]


def open_bmp(content: bytes) -> Opened:
    """Read the header. Raises NotThisFormat, NotSupported."""
    try:
        header = _read_header(content)
    except struct.error as error:
        raise NotThisFormat from error
    return Opened(header.width, header.height, lambda _: Decoded(_decode(content, header), _profile(content, header)))


def _read_header(content: bytes) -> Header:
    pixels_at, size = struct.unpack_from("<II", content, 10)
    if size not in HEADERS:
        raise NotThisFormat
    compression, used = UNCOMPRESSED, 0
    if size == CORE_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", content, 18)
        if size > 16:
            (compression,), (used,) = struct.unpack_from("<I", content, 30), struct.unpack_from("<I", content, 46)
    _check_layout(bits, compression)
    masks, palette_at = DEFAULT_MASKS.get(bits, (0, 0, 0, 0)), FILE_HEADER + size
    count = 4 if size >= V3 or compression == ALPHA_BIT_FIELDS else 3
    if compression in (BIT_FIELDS, ALPHA_BIT_FIELDS):
        masks = (*struct.unpack_from(f"<{count}I", content, 54), 0)[:4]
        palette_at += 4 * count if size < V2 else 0
    elif size >= V4 and bits == 32:  # such a header has an alpha mask in any case
        masks = (*masks[:3], *struct.unpack_from("<I", content, 66))
    return Header(
        width=width,
        height=abs(height),
        top_down=height < 0,
        bits=bits,
        compression=compression,
        size=size,
        pixels_at=pixels_at,
        palette_at=palette_at,
        colours=used or 2 ** min(bits, 8),
        masks=masks,
    )


def _check_layout(bits: int, compression: int) -> None:
    """Raise NotSupported for a compression or a number of bits that is not read."""
    allowed = {UNCOMPRESSED: (1, 2, 4, 8, 16, 24, 32), RLE8: (8,), RLE4: (4,)}
    if bits not in allowed.get(compression, (16, 32)) or compression > ALPHA_BIT_FIELDS or compression in (4, 5):
        raise NotSupported(f"BMP with {bits} bits a pixel and compression {compression}")


def _profile(content: bytes, header: Header) -> Profile | None:
    if header.size != V5 or content[70:74] != EMBEDDED:
        return None
    at, length = struct.unpack_from("<II", content, FILE_HEADER + 112)
    profile = read_usable(content[FILE_HEADER + at : FILE_HEADER + at + length])
    if profile is not None and profile.channels == 1:
        raise NotSupported("BMP with a profile of grey")
    return profile


def _decode(content: bytes, header: Header) -> Image.Image:
    if header.bits <= 8:
        if header.compression != UNCOMPRESSED:
            indices, painted = _run_lengths(content, header)
            if header.top_down:
                indices, painted = indices[::-1], painted[::-1]
            return _painted(indices, painted, _palette(content, header))
        indices = np.unpackbits(_rows(content, header), axis=1) if header.bits < 8 else _rows(content, header)
        if header.bits < 8:
            places = 1 << np.arange(header.bits - 1, -1, -1, dtype=np.uint8)
            indices = (indices.reshape(header.height, -1, header.bits) * places).sum(axis=2, dtype=np.uint8)
        return _painted(indices[:, : header.width], None, _palette(content, header))
    if header.bits == 24:
        rows = _rows(content, header)[:, : 3 * header.width]
        return Image.fromarray(rows.reshape(header.height, header.width, 3)[..., ::-1])
    pixels = np.ascontiguousarray(_rows(content, header)).view(f"<u{header.bits // 8}")[:, : header.width]
    masks = header.masks if header.masks[3] else header.masks[:3]
    return Image.fromarray(np.stack([_field(pixels, mask) for mask in masks], axis=2))


def _rows(content: bytes, header: Header) -> NDArray[np.uint8]:
    """Return the bytes of each row, padding included, from the top down."""
    stride = (header.width * header.bits + 31) // 32 * 4
    rows = np.frombuffer(content, np.uint8, stride * header.height, header.pixels_at).reshape(header.height, stride)
    return rows if header.top_down else rows[::-1]


def _field(pixels: NDArray[np.unsignedinteger], mask: int) -> NDArray[np.uint8]:
    """Return the bits under `mask`, scaled to 0..255."""
    if mask == 0:
        return np.zeros(pixels.shape, np.uint8)
    lowest = (mask & -mask).bit_length() - 1
    most = mask >> lowest
    if most & (most + 1):
        raise NotSupported("BMP whose bit fields have gaps")
    levels = (pixels.astype(np.uint64) & np.uint64(mask)) >> np.uint64(lowest)
    return ((levels * 255 + most // 2) // most).astype(np.uint8)


def _palette(content: bytes, header: Header) -> NDArray[np.uint8]:
    """Return 256 colours (256, 3); those that the file does not have are black."""
    entry = 3 if header.size == CORE_HEADER else 4
    count = min(header.colours, 256, max(header.pixels_at - header.palette_at, 0) // entry)
    stated = np.frombuffer(content, np.uint8, count * entry, header.palette_at).reshape(count, entry)
    palette = np.zeros((256, 3), np.uint8)
    palette[:count] = stated[:, 2::-1]
    return palette


def _painted(indices: NDArray[np.uint8], painted: NDArray[np.bool_] | None, palette: NDArray[np.uint8]) -> Image.Image:
    """Return the colours of `indices`; black where nothing was painted."""
    grey = bool((palette == palette[:, :1]).all())
    colours = palette[:, 0][indices] if grey else palette[indices]
    if painted is not None:
        colours[~painted] = 0
    return Image.fromarray(colours)


def _run_lengths(content: bytes, header: Header) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Decode run lengths: indices, and where there are any. Raises ValueError if they end too soon."""
    indices = np.zeros((header.height, header.width), np.uint8)
    painted = np.zeros((header.height, header.width), np.bool_)
    x, y, at = 0, header.height - 1, header.pixels_at

    def paint(values: NDArray[np.uint8]) -> None:
        values = values[: max(header.width - x, 0)]
        if y >= 0:
            indices[y, x : x + len(values)] = values
            painted[y, x : x + len(values)] = True

    while at + 2 <= len(content):
        count, value = content[at], content[at + 1]
        at += 2
        if count:
            paint(_repeated(count, value, header.compression))
            x += count
        elif value == 0:
            x, y = 0, y - 1
        elif value == 1:
            return indices, painted
        elif value == 2:
            x, y, at = x + content[at], y - content[at + 1], at + 2
        else:
            length = value if header.compression == RLE8 else (value + 1) // 2
            literal = np.frombuffer(content, np.uint8, length, at)
            paint(literal if header.compression == RLE8 else _nibbles(literal)[:value])
            x, at = x + value, at + (length + 1) // 2 * 2
    raise ValueError("its run lengths end too soon")


def _repeated(count: int, value: int, compression: int) -> NDArray[np.uint8]:
    if compression == RLE8:
        return np.full(count, value, np.uint8)
    return np.resize(np.array([value >> 4, value & 15], np.uint8), count)


def _nibbles(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([content >> 4, content & 15], axis=1).reshape(-1)
