"""Make thumbnails. The API's decoder processes import this module, so it must not need torch."""

import io
from typing import BinaryIO

import numpy as np
from PIL import Image

from core.schemas.thumbnails import LONGEST_SIDE

QUALITY, EFFORT = 85, 2  # of WebP's encoder; more effort makes files a few percent smaller
REDUCING_GAP = 3.0  # first shrink by whole numbers, which is fast, to three times the size


def make_thumbnail(picture: Image.Image) -> bytes:
    """Return a picture of mode L, LA, RGB or RGBA as WebP, scaled down to LONGEST_SIDE if it is larger."""
    longest = max(picture.size)
    if longest > LONGEST_SIDE:
        size = tuple(max(round(side * LONGEST_SIDE / longest), 1) for side in picture.size)
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)  # type: ignore[arg-type]
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
    return buffer.getvalue()


def read_thumbnail(file: BinaryIO) -> bytes:
    """Return the thumbnail of a stored picture, a PNG. Pillow raises almost anything for broken files."""
    with Image.open(file, formats=["PNG"]) as opened:
        opened.load()
        if opened.mode.startswith("I"):  # grey of 16 bits
            return make_thumbnail(Image.fromarray((np.asarray(opened) >> 8).astype(np.uint8)))
        return make_thumbnail(opened)
