"""PNG files, chunk by chunk, also such as no encoder writes."""

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, INDEXED = 0, 2, 3
KINDS = {1: GREY, 2: 4, 3: RGB, 4: 6}  # by the number of channels
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
SRGB_XY = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3_XY = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


def chunk(name: bytes, content: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(name + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def gama(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(*numbers: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(number * 100_000) for number in numbers)))


def srgb(intent: int = 0) -> bytes:
    return chunk(b"sRGB", bytes([intent]))


def cicp(primaries: int, transfer: int, matrix: int = 0, full_range: int = 1) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, matrix, full_range]))


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile))


def png(
    levels: Any,
    bits: int = 8,
    kind: int | None = None,
    *,
    before: Sequence[bytes] = (),
    palette: bytes = b"",
    between: Sequence[bytes] = (),
    after: Sequence[bytes] = (),
    interlaced: bool = False,
) -> bytes:
    """Return a PNG of levels (H, W) or (H, W, C). before, between, after: further chunks around PLTE and IDAT."""
    levels = np.atleast_3d(np.asarray(levels))
    height, width, channels = levels.shape
    kind = KINDS[channels] if kind is None else kind
    passes = [levels[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [levels]
    pixels = b"".join(filtered_rows(part, bits) for part in passes if part.size)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
    plte = [chunk(b"PLTE", palette)] if palette else []
    chunks = [chunk(b"IHDR", header), *before, *plte, *between, chunk(b"IDAT", zlib.compress(pixels)), *after]
    return SIGNATURE + b"".join(chunks) + chunk(b"IEND", b"")


def filtered_rows(levels: np.ndarray, bits: int) -> bytes:
    """Return the rows as PNG packs them, each after a zero (no filter)."""
    flat = levels.reshape(len(levels), -1)
    if bits == 16:
        packed = flat.astype(">u2").view(np.uint8).reshape(len(levels), -1)
    else:
        places = np.arange(bits - 1, -1, -1)
        singles = (flat[..., None].astype(np.int64) >> places) & 1
        packed = np.packbits(singles.reshape(len(levels), -1).astype(np.uint8), axis=1)
    return np.pad(packed, ((0, 0), (1, 0))).tobytes()


def frame_control(number: int, width: int, height: int, left: int = 0, top: int = 0) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, left, top, 1, 10, 0, 0))


def frame_data(number: int, levels: np.ndarray) -> bytes:
    return chunk(b"fdAT", struct.pack(">I", number) + zlib.compress(filtered_rows(levels, 8)))


def exif(orientation: int, order: str = "<", kind: int = 3) -> bytes:
    """Return a block of EXIF that states only an orientation, as SHORT (3) or LONG (4)."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *((orientation, 0) if kind == 3 else (orientation,)))
    return head + struct.pack(order + "IHHHI", 8, 1, 0x0112, kind, 1) + value + bytes(4)
