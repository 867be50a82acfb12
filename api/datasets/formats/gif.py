"""GIF, by Pillow, which paints what the first frame does not cover; browsers leave it transparent."""

import io

from PIL import Image

from api.datasets.formats.opened import FIRST_FRAME, Decoded, Opened


def open_gif(content: bytes) -> Opened:
    with Image.open(io.BytesIO(content), formats=["GIF"]) as opened:
        size, animated = opened.size, _is_animated(opened)

    def decode(_: int) -> Decoded:
        with Image.open(io.BytesIO(content), formats=["GIF"]) as opened:
            covered = opened.tile[0].extents
            opened.load()
            if covered in (None, (0, 0, *opened.size)):
                return Decoded(opened)
            picture = Image.new("RGBA", opened.size)
            picture.paste(opened.crop(covered).convert("RGBA"), covered[:2])
            return Decoded(picture)

    return Opened(*size, decode, (FIRST_FRAME,) if animated else ())


def _is_animated(opened: Image.Image) -> bool:
    try:
        return bool(getattr(opened, "is_animated", False))
    except Exception:  # there is a second frame, which is broken
        return True
