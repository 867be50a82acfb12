"""Which part of a picture is known: what is transparent is not. No torch here, so that the API can look too."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

KNOWN_ALPHA = 128  # from here on a pixel is known; below, it is to be painted
_WHOLE = 1 - 1e-6  # a share that is 1 but for rounding

CropBox = tuple[int, int, int, int]


def middle_square(width: int, height: int) -> CropBox:
    """(left, top, right, bottom) of what a picture is cropped to: the middle of its long side."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def known_share(picture: Image.Image) -> Image.Image:
    """1 where a picture's pixels are known, else 0, as a picture of floating-point numbers."""
    if not picture.has_transparency_data:
        return Image.new("F", picture.size, 1.0)
    with_alpha = picture if "A" in picture.getbands() else picture.convert("RGBA")
    alpha = np.asarray(with_alpha.getchannel("A"))
    return Image.fromarray((alpha >= KNOWN_ALPHA).astype(np.float32))


def fully_known(share: Image.Image, size: int) -> NDArray[np.bool_]:
    """Of the middle square scaled to `size`, the pixels of which every part is known. -> (size, size)."""
    box = middle_square(*share.size)
    return np.asarray(share.resize((size, size), Image.Resampling.BOX, box=box)) >= _WHOLE


def read_known(content: bytes, size: int) -> NDArray[np.bool_]:
    """A picture file -> which pixels are known of the (size, size) that `read_picture` reads from it."""
    with Image.open(io.BytesIO(content)) as opened:
        return fully_known(known_share(opened), size)
