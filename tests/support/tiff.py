"""TIFF files of every layout of samples, also such as no library writes."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

SHORT, LONG = 3, 4


def tiff(
    samples: np.ndarray,
    bits: int,
    photometric: int,
    *,
    order: str = "<",
    reversed_bits: bool = False,
    tags: Mapping[int, Sequence[int]] | None = None,
) -> bytes:
    """Return an uncompressed TIFF of samples (H, W) or (H, W, C). tags: further ones, of short numbers."""
    samples = np.atleast_3d(samples)
    height, width, channels = samples.shape
    flat = samples.reshape(height, -1)
    if bits % 16 == 0:
        pixels = flat.astype(f"{order}u{bits // 8}").tobytes()
    else:
        singles = (flat[..., None].astype(np.int64) >> np.arange(bits - 1, -1, -1)) & 1
        packed = np.packbits(singles.reshape(height, -1).astype(np.uint8), axis=1)
        if reversed_bits:
            packed = np.packbits(np.unpackbits(packed, axis=1), axis=1, bitorder="little")
        pixels = packed.tobytes()
    pixels += bytes(len(pixels) % 2)
    entries = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * channels),
        259: (SHORT, [1]),
        262: (SHORT, [photometric]),
        266: (SHORT, [2 if reversed_bits else 1]),
        273: (LONG, [8]),
        277: (SHORT, [channels]),
        278: (LONG, [height]),
        279: (LONG, [len(pixels)]),
        **{tag: (SHORT, list(numbers)) for tag, numbers in (tags or {}).items()},
    }
    place = 8 + len(pixels) + 2 + 12 * len(entries) + 4
    directory, beyond = struct.pack(order + "H", len(entries)), b""
    for tag, (kind, numbers) in sorted(entries.items()):
        raw = struct.pack(f"{order}{len(numbers)}{'HI'[kind - SHORT]}", *numbers)
        value = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack(order + "I", place + len(beyond))
        beyond += raw if len(raw) > 4 else b""
        directory += struct.pack(order + "HHI", tag, kind, len(numbers)) + value
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(pixels))
    return head + pixels + directory + bytes(4) + beyond
