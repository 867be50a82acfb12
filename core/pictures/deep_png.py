"""PNG files with 16 bits per channel, which Pillow writes only in grey and reads in colour only in halves.

Without torch: the API's decoder processes import this module.
"""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from core.pictures.png_chunks import SIGNATURE, chunk
from core.pictures.profiles import Samples

COLOUR_TYPES = {1: 0, 3: 2}  # by the number of channels
SUB_FILTER = b"\x01"  # each byte less the one of the pixel to its left
LEVEL = 6


def write_deep_png(samples: Samples) -> bytes:
    """Encode samples (H, W, 1 or 3) as a PNG file with 16 bits per channel."""
    height, width, channels = samples.shape
    rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    rows[:, 2 * channels :] = rows[:, 2 * channels :] - rows[:, : -2 * channels]  # bytes wrap around, as PNG says
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    pixels = zlib.compress(b"".join(SUB_FILTER + row.tobytes() for row in rows), LEVEL)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def read_samples(content: bytes) -> Samples:
    """Decode a PNG file, grey or RGB, without alpha -> samples (H, W, C): uint8, or uint16 with 16 bits per channel."""
    with Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
        deep = is_deep(opened)
        opened.load()
        high = np.array(opened)
    high = high.reshape(*high.shape[:2], -1)
    if not deep or high.dtype == np.uint16:
        return high
    with Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
        return joined(high, low_bytes(opened))


def is_deep(opened: ImageFile.ImageFile) -> bool:
    """Return True if a PNG, opened but not yet loaded, has 16 bits per channel."""
    return any("16" in str(tile.args) for tile in opened.tile)


def low_bytes(opened: ImageFile.ImageFile) -> NDArray[np.uint8]:
    """Decode the low bytes of RGB or RGBA with 16 bits: Pillow keeps the high ones, in the byte order it is given."""
    opened.tile = [tile._replace(args=f"{opened.mode};16L") for tile in opened.tile]
    opened.load()
    return np.array(opened)


def joined(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return samples of 16 bits, given their high and their low bytes."""
    return high.astype(np.uint16) << np.uint16(8) | low
