"""WebP, by Pillow. Browsers ignore an orientation in its EXIF."""

import io

from PIL import Image

from api.datasets.formats.opened import FIRST_FRAME, Decoded, Opened
from core.pictures.icc import read_usable


def open_webp(content: bytes) -> Opened:
    with Image.open(io.BytesIO(content), formats=["WEBP"]) as opened:
        size, frames = opened.size, getattr(opened, "n_frames", 1)
        profile = opened.info.get("icc_profile")

    def decode(_: int) -> Decoded:
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as opened:
            opened.load()
            return Decoded(opened, read_usable(profile))

    return Opened(*size, decode, (FIRST_FRAME,) if frames > 1 else ())
