"""Convert an uploaded picture to what is stored: a PNG, upright, in sRGB, 8 bits per channel.

The uploaded bytes themselves are never stored or served. What is stored is what a browser with an sRGB screen shows;
what cannot be read right is refused. Alpha is kept: learning leaves out what is transparent, inpainting
fills it in.
Everything that can be checked without decoding the pixels is checked first.
"""

import io
import math
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, UnidentifiedImageError

from api.datasets.files import DecodedPicture, PictureRefused, UploadedFile
from api.datasets.formats import bmp, gif, heif, isobmff, jpeg, png, tiff, webp
from api.datasets.formats.opened import NotSupported, NotThisFormat, Opened
from api.datasets.limits import Limits
from core.pictures.profiles import Converter, HighDynamicRange

READABLE = "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC"
PNG_LEVEL = 3  # a photograph becomes no smaller at higher levels, which take twice as long
BAND_ROWS = 128
INKS = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "CMYK": 4}
GREY_MODES = ("1", "L", "LA", "La")
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Image.MAX_IMAGE_PIXELS = None  # the limits are checked here, in words of our own
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # about metadata, which is dropped


def read_picture(upload: UploadedFile, limits: Limits) -> DecodedPicture:
    """Decode, check and convert one file. Raises PictureRefused."""

    def convert(opened: Opened, reduction: int) -> DecodedPicture:
        picture = convert_to_srgb(opened, reduction)
        notes = [*opened.notes, *reduction_note(opened, reduction, picture.width, picture.height)]
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG", compress_level=PNG_LEVEL)
        return DecodedPicture(upload.filename, buffer.getvalue(), picture.width, picture.height, picture.mode, notes)

    return read_upload(upload, limits, convert)


def read_upload(
    upload: UploadedFile, limits: Limits, convert: Callable[[Opened, int], DecodedPicture]
) -> DecodedPicture:
    """Open and check one file, and return what `convert` makes of it and of the factor to reduce its sides by.

    Raises PictureRefused.
    """
    if len(upload.content) > limits.max_file_bytes:
        raise PictureRefused(413, upload, f"too large: it is larger than {limits.max_file_bytes} bytes")
    if not upload.content:
        raise PictureRefused(415, upload, "the file is empty")
    try:
        opened = _reader(upload.content)(upload.content)
        _check_bounds(upload, opened, limits)
        reduction = _reduction(opened, limits.max_stored_pixels)
        return convert(opened, reduction)
    except (PictureRefused, MemoryError):
        raise
    except (UnidentifiedImageError, NotThisFormat) as error:
        raise PictureRefused(415, upload, f"not a {READABLE} picture") from error
    except (NotSupported, HighDynamicRange) as error:
        raise PictureRefused(422, upload, f"cannot be read right: {error}") from error
    except Exception as error:  # Pillow documents OSError for broken files, but raises almost anything
        raise PictureRefused(422, upload, f"a broken picture: {error}") from error


def reduction_note(opened: Opened, reduction: int, width: int, height: int) -> list[str]:
    """Return what is said of a picture that was scaled down to `width` x `height`; nothing of others."""
    if reduction == 1:
        return []
    return [f"scaled down from {opened.width} x {opened.height} to {width} x {height} pixels"]


def _reader(content: bytes) -> Callable[[bytes], Opened]:
    """Return the function that opens a file which begins like this. Raises NotThisFormat."""
    if content.startswith(png.SIGNATURE):
        return png.open_png
    if content.startswith(b"\xff\xd8\xff"):
        return jpeg.open_jpeg
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return webp.open_webp
    if content.startswith(tiff.PREFIXES):
        return tiff.open_tiff
    if content.startswith(b"BM"):
        return bmp.open_bmp
    if content.startswith((b"GIF87a", b"GIF89a")):
        return gif.open_gif
    brands = isobmff.brands(content)
    if brands & heif.AVIF_BRANDS:
        return heif.open_avif
    if brands & heif.HEIC_BRANDS:
        return heif.open_heic
    raise NotThisFormat


def _check_bounds(upload: UploadedFile, opened: Opened, limits: Limits) -> None:
    width, height = opened.width, opened.height
    if min(width, height) < 1:
        raise PictureRefused(422, upload, f"{width} x {height} pixels: it is empty")
    if max(width, height) > limits.max_picture_side:
        reason = f"too large: {width} x {height} pixels; a side may have at most {limits.max_picture_side}"
        raise PictureRefused(422, upload, reason)
    if width * height > limits.max_picture_pixels:
        reason = f"too large: {width} x {height} pixels, more than {limits.max_picture_pixels} in all"
        raise PictureRefused(422, upload, reason)


def _reduction(opened: Opened, most: int) -> int:
    """Return the smallest whole factor by which both sides must shrink for at most `most` pixels."""
    reduction = max(math.isqrt(opened.width * opened.height // most), 1)
    while math.ceil(opened.width / reduction) * math.ceil(opened.height / reduction) > most:
        reduction += 1
    return reduction


def convert_to_srgb(opened: Opened, reduction: int, as_data: bool = False) -> Image.Image:
    """Decode, scale down by `reduction`, convert to sRGB and turn upright -> L, LA, RGB or RGBA.

    as_data: keep the samples as they are, whatever profile the file names.
    """
    decoded = opened.decode(reduction)
    source = decoded.picture
    scaled = round(max(opened.width, opened.height) / max(source.size))  # by the decoder already
    left = math.ceil(reduction / scaled)
    mode = _mode(source)
    convert = Converter(INKS[mode], None if as_data else decoded.profile)
    as_it_is = left == 1 and not convert.changes
    shown = source.convert(mode) if as_it_is else _converted(source, mode, left, convert)
    upright = shown.transpose(UPRIGHT[decoded.orientation]) if decoded.orientation in UPRIGHT else shown
    upright.info.clear()
    return upright


def _mode(picture: Image.Image) -> str:
    """Return the mode, one of INKS, that holds the picture's colours and transparency."""
    if picture.mode == "CMYK":
        return "CMYK"
    transparent = picture.has_transparency_data
    if picture.mode in GREY_MODES:
        return "LA" if transparent else "L"
    return "RGBA" if transparent else "RGB"


def _converted(source: Image.Image, mode: str, reduction: int, convert: Converter) -> Image.Image:
    """Convert some rows at a time, so that only the source and the result are in memory as a whole."""
    alpha = mode in ("LA", "RGBA")
    width, height = -(-source.width // reduction), -(-source.height // reduction)
    target = {1: "L", 3: "RGB"}[convert.channels] + ("A" if alpha else "")
    shown = Image.new(target, (width, height))
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        band = source.crop((0, top * reduction, source.width, min(bottom * reduction, source.height))).convert(mode)
        samples = np.asarray(band.reduce(reduction) if reduction > 1 else band)
        converted = convert(samples.reshape(*samples.shape[:2], -1))
        shown.paste(Image.fromarray(converted[..., 0] if converted.shape[-1] == 1 else converted), (0, top))
    return shown
