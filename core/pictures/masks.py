"""Find the known pixels of a picture, which are its opaque ones. Without torch, because the API imports this."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps

KNOWN_ALPHA = 128  # a pixel is known from this opacity on
WHOLE_ALPHA = 255
MASKABLE_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_WHOLE = 1 - 1e-6  # 1 up to rounding

CropBox = tuple[int, int, int, int]  # left, top, right, bottom, in pixels


def middle_square(width: int, height: int) -> CropBox:
    """Return the square that a picture is cropped to: its short side, and the middle of its long side."""
    return middle_part((width, height), (1, 1))


def middle_part(size: tuple[int, int], proportions: tuple[int, int]) -> CropBox:
    """Return the largest middle part of a picture of `size` (width, height) in the proportions of another size."""
    scale = min(side / wanted for side, wanted in zip(size, proportions, strict=True))
    width, height = (max(round(scale * wanted), 1) for wanted in proportions)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def known_share(picture: Image.Image) -> Image.Image:
    """Return a floating-point picture that is 1 where the pixels of `picture` are known, else 0."""
    if not picture.has_transparency_data:
        return Image.new("F", picture.size, 1.0)
    with_alpha = picture if "A" in picture.getbands() else picture.convert("RGBA")
    alpha = np.asarray(with_alpha.getchannel("A"))
    return Image.fromarray((alpha >= KNOWN_ALPHA).astype(np.float32))


def fully_known(share: Image.Image, size: int) -> NDArray[np.bool_]:
    """Scale the middle square of `share` to (size, size) -> True for pixels all parts of which are known."""
    box = middle_square(*share.size)
    return np.asarray(share.resize((size, size), Image.Resampling.BOX, box=box)) >= _WHOLE


def some_window_known(known: NDArray[np.bool_], window: int, stride: int, padding: int = 0) -> bool:
    """Return True if a window of `window` x `window` pixels is known throughout, of those that begin every `stride`.

    padding: known pixels that surround the picture on each side.
    """
    known = np.pad(known, padding, constant_values=True)
    if window > min(known.shape):
        return False
    sums = np.pad(np.cumsum(np.cumsum(~known, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
    unknown = sums[window:, window:] - sums[:-window, window:] - sums[window:, :-window] + sums[:-window, :-window]
    return bool((unknown[::stride, ::stride] == 0).any())


def read_known(content: bytes, size: int) -> NDArray[np.bool_]:
    """Return which of the (size, size) pixels that `read_picture` reads from a picture file are known."""
    with Image.open(io.BytesIO(content)) as opened:
        return fully_known(known_share(opened), size)


def with_mask(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """Return the picture upright, transparent where the mask is black or itself transparent.

    The mask is read as grey; grey parts are partly transparent (see KNOWN_ALPHA). What was transparent before stays so.
    Raises ValueError if the sizes differ, for a picture that is not of 8 bits, grey or RGB, and if no pixel of the
    middle square is left that is known.
    """
    upright, mask = ImageOps.exif_transpose(picture), ImageOps.exif_transpose(mask)
    if upright.size != mask.size:
        sizes = " and ".join(f"{one.width} x {one.height}" for one in (upright, mask))
        raise ValueError(f"the picture and its mask must have one size, but have {sizes} pixels")
    if upright.mode not in MASKABLE_MODES or mask.mode not in MASKABLE_MODES:
        raise ValueError(
            f"a picture and its mask must be of 8 bits, grey or RGB; these are {upright.mode}, {mask.mode}"
        )
    shares = mask.convert("LA")
    alpha = ImageChops.multiply(*shares.split())
    result = upright.convert("LA" if upright.mode in ("1", "L", "LA") else "RGBA")
    result.putalpha(ImageChops.darker(result.getchannel("A"), alpha))
    if not known_share(result).crop(middle_square(*result.size)).getbbox():
        raise ValueError("the mask leaves nothing of the picture: no opaque pixel of its middle square is white in it")
    return result


def is_opaque(content: bytes, proportions: tuple[int, int] | None = None) -> bool:
    """Return True if no pixel of a picture file is transparent, not even partly.

    proportions: (width, height) of the middle part that is looked at, by default the whole picture.
    """
    with Image.open(io.BytesIO(content)) as opened:
        if not opened.has_transparency_data:
            return True
        part = middle_part(opened.size, proportions or opened.size)
        return opened.convert("RGBA").getchannel("A").crop(part).getextrema()[0] == WHOLE_ALPHA
