"""BMP files of every layout."""

import struct
from collections.abc import Sequence

import numpy as np


def bmp(
    width: int,
    height: int,
    bits: int,
    pixels: bytes,
    *,
    compression: int = 0,
    header: int = 40,
    palette: bytes = b"",
    masks: Sequence[int] = (),
    profile: bytes = b"",
) -> bytes:
    """Return a BMP. header: bytes of its header. masks: red, green, blue, alpha; beyond the header if it is short."""
    inside = struct.pack("<4I", *masks, *[0] * (4 - len(masks))) if header >= 52 else b""
    beyond = b"" if header >= 52 else struct.pack(f"<{len(masks)}I", *masks)
    head = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(pixels), 0, 0, 0, 0) + inside
    if header >= 108:
        head = head[:56] + (b"DEBM" if profile else b"BGRs")
    if profile:
        head = head.ljust(112, b"\0") + struct.pack("<II", header + len(palette) + len(pixels), len(profile))
    head = head[:header].ljust(header, b"\0") + beyond + palette
    body = head + pixels + profile
    return b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + len(head)) + body


def rows(levels: np.ndarray, bits: int) -> bytes:
    """Pack levels (H, W), or bytes (H, W, C) of blue, green, red, from the bottom up."""
    levels = levels[::-1]
    if bits == 16:
        packed = levels.astype("<u2").view(np.uint8).reshape(len(levels), -1)
    elif bits > 16:
        packed = levels.reshape(len(levels), -1).astype(np.uint8)
    else:
        singles = (levels[..., None].astype(np.int64) >> np.arange(bits - 1, -1, -1)) & 1
        packed = np.packbits(singles.reshape(len(levels), -1).astype(np.uint8), axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 4))).tobytes()
