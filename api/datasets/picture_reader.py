"""Convert an uploaded picture to what is stored: a PNG, upright, in sRGB, 8 bits per channel.

The uploaded bytes themselves are never stored or served. Alpha is kept: learning blends it with white, inpainting uses
it as the mask. Everything that can be checked without decoding the pixels is checked first.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from api.datasets.files import DecodedPicture, PictureRefused, UploadedFile
from api.datasets.limits import Limits

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
READABLE = "PNG, JPEG, WebP, TIFF or BMP"
_SRGB = ImageCms.createProfile("sRGB")

warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # about metadata, which is dropped


def read_picture(upload: UploadedFile, limits: Limits) -> DecodedPicture:
    """Decode, check and convert one file. Raises PictureRefused."""
    if len(upload.content) > limits.max_file_bytes:
        raise PictureRefused(413, upload, f"larger than {limits.max_file_bytes} bytes")
    try:
        with Image.open(io.BytesIO(upload.content), formats=FORMATS) as opened:
            _check_bounds(upload, opened, limits)
            picture = _normalize(opened)
    except (PictureRefused, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise PictureRefused(415, upload, f"not a {READABLE} picture") from error
    except Exception as error:  # Pillow documents OSError for broken files, but raises almost anything
        raise PictureRefused(422, upload, f"a broken picture: {error}") from error
    picture.info.clear()  # otherwise a profile that could not be applied would be written
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return DecodedPicture(upload.filename, buffer.getvalue(), picture.width, picture.height, picture.mode)


def _check_bounds(upload: UploadedFile, opened: Image.Image, limits: Limits) -> None:
    width, height = opened.size
    if min(width, height) < 1 or max(width, height) > limits.max_picture_side:
        raise PictureRefused(422, upload, f"{width} x {height} pixels; a side may have 1 to {limits.max_picture_side}")
    if width * height > limits.max_picture_pixels:
        reason = f"{width} x {height} pixels, more than {limits.max_picture_pixels} in all"
        raise PictureRefused(422, upload, reason)
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format != "MPO":  # MPO: a photograph followed by the camera's own previews
        raise PictureRefused(422, upload, f"holds {frames} pictures; one is expected")


def _normalize(opened: Image.Image) -> Image.Image:
    """Decode, rotate by EXIF, convert to sRGB by the embedded profile and to 8 bits, as L, LA, RGB or RGBA."""
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
    """Convert 16-bit grey levels to the nearest of 8 bits (65535 = 255 * 257). Raises ValueError for other numbers."""
    levels = np.asarray(picture)
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no stated range; save it with 8 or 16 bits a channel")
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("pixels of 32 bits; save it with 8 or 16 bits a channel")
    return Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Convert RGB, RGBA or CMYK by the picture's own profile. A profile that does not fit is ignored, as viewers do."""
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
