"""From an uploaded file to a picture of ours: read, checked, turned upright, in sRGB, 8 bits a channel, as PNG.

Only what we wrote ourselves is stored and served. Alpha is kept: learning lays it on white, inpainting takes it as
the mask. Everything that can be checked without decoding the pixels is checked before.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from api.datasets.files import Picture, PictureRefused, Upload
from api.datasets.limits import Limits

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
READABLE = "PNG, JPEG, WebP, TIFF or BMP"
_SRGB = ImageCms.createProfile("sRGB")

warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # remarks on metadata, which is dropped


def accept(upload: Upload, limits: Limits) -> Picture:
    """Raises PictureRefused."""
    if len(upload.content) > limits.max_file_bytes:
        raise PictureRefused(413, upload, f"larger than {limits.max_file_bytes} bytes")
    try:
        with Image.open(io.BytesIO(upload.content), formats=FORMATS) as opened:
            _check_bounds(upload, opened, limits)
            picture = _normalized(opened)
    except (PictureRefused, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise PictureRefused(415, upload, f"not a {READABLE} picture") from error
    except Exception as error:  # of a broken file Pillow promises an OSError, and raises almost anything
        raise PictureRefused(422, upload, f"a broken picture: {error}") from error
    picture.info.clear()  # else a profile that was passed over would be written
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return Picture(upload.filename, buffer.getvalue(), picture.width, picture.height, picture.mode)


def _check_bounds(upload: Upload, opened: Image.Image, limits: Limits) -> None:
    width, height = opened.size
    if min(width, height) < 1 or max(width, height) > limits.max_picture_side:
        raise PictureRefused(422, upload, f"{width} x {height} pixels; a side may have 1 to {limits.max_picture_side}")
    if width * height > limits.max_picture_pixels:
        reason = f"{width} x {height} pixels, more than {limits.max_picture_pixels} in all"
        raise PictureRefused(422, upload, reason)
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format != "MPO":  # a photograph and, behind it, what the camera added for itself
        raise PictureRefused(422, upload, f"holds {frames} pictures; one is expected")


def _normalized(opened: Image.Image) -> Image.Image:
    """Decode; turn by EXIF; to sRGB by the embedded profile; to 8 bits; to L, LA, RGB or RGBA."""
    opened.load()
    profile = opened.info.get("icc_profile")
    picture = ImageOps.exif_transpose(opened)
    if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
        return _to_8_bits(picture)
    transparent = picture.has_transparency_data
    if picture.mode in ("1", "L", "LA", "La"):
        return picture.convert("LA" if transparent else "L")
    if picture.mode != "CMYK":
        picture = picture.convert("RGBA" if transparent else "RGB")
    return _to_srgb(picture, profile) if profile else picture.convert("RGBA" if transparent else "RGB")


def _to_8_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits: the high byte of 257 x 8 bits. ValueError for numbers that are no such grey levels."""
    levels = np.asarray(picture)
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no stated range; save it with 8 or 16 bits a channel")
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("pixels of 32 bits; save it with 8 or 16 bits a channel")
    return Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """From RGB, RGBA or CMYK by the picture's own profile; one that does not fit is passed over, as viewers do."""
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
    source = picture.convert("RGB") if alpha else picture
    try:
        converted = ImageCms.profileToProfile(
            source, ImageCms.ImageCmsProfile(io.BytesIO(profile)), _SRGB, outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError):
        return picture if alpha else picture.convert("RGB")
    assert converted is not None
    if alpha is not None:
        converted.putalpha(alpha)
    return converted
