"""Pictures in all formats and modes that clients may upload."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageCms

WIDTH, HEIGHT = 12, 7


def colors(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Return a picture whose corners have different colours."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - across], axis=-1).astype(np.uint8))


def encoded(picture: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def png(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    return encoded(colors(width, height), "PNG")


def stripes() -> bytes:
    """Return a small grey texture to learn, as a PNG."""
    rows = np.arange(48)
    levels = 128 + 80 * np.sign(np.sin(rows[:, None] / 2.2)) * np.ones((48, 48))
    return encoded(Image.fromarray(levels.astype(np.uint8)), "PNG")


def film() -> bytes:
    """An animated GIF, whose first frame is `stripes`."""
    return encoded(decoded(stripes()), "GIF", save_all=True, append_images=[colors(48, 48)])


def with_hole(
    width: int = WIDTH, height: int = HEIGHT, *, hole: tuple[int, int, int, int], grey: bool = False
) -> bytes:
    """Return the picture of `colors` as a PNG, transparent in `hole` (left, top, right, bottom)."""
    picture = colors(width, height).convert("LA" if grey else "RGBA")
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, hole)
    picture.putalpha(alpha)
    return encoded(picture, "PNG")


def pixels(content: bytes) -> np.ndarray:
    """Return the pixels of an encoded picture: (H, W), or (H, W, C) if it has colours."""
    return np.asarray(decoded(content))


def decoded(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        return picture


def in_mode(mode: str) -> Image.Image:
    """Return the picture of `colors` in a mode of Pillow; `P+t` has a palette with a transparent entry."""
    if mode == "P+t":
        picture = colors().quantize(8)
        picture.info["transparency"] = 0
        return picture
    if mode in ("I;16", "I"):
        levels = np.asarray(colors().convert("L")).astype(np.uint16) * 257
        picture = Image.fromarray(levels)
        return picture if mode == "I;16" else picture.convert("I")
    if mode == "F":
        return colors().convert("F")
    if mode in ("LA", "RGBA"):
        picture = colors().convert(mode)
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
        return picture
    return colors().convert(mode)


def zipped(entries: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def swapped_profile() -> bytes:
    """Return an ICC profile of sRGB with red and green exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    places = {bytes(profile[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)}
    a, b = places[b"rXYZ"] + 4, places[b"gXYZ"] + 4
    profile[a : a + 8], profile[b : b + 8] = profile[b : b + 8], profile[a : a + 8]
    return bytes(profile)
