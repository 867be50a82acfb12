"""What every format's reader returns."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from core.pictures.profiles import Profile, Samples

FIRST_FRAME = "an animation: only its first frame is used"


class NotThisFormat(ValueError):
    """The file only begins like a file of this format."""


class NotSupported(ValueError):
    """The file is sound, but has a property that cannot be read right. The message names it."""


@dataclass(frozen=True)
class Decoded:
    """Pixels as they are in the file. picture: 8 bits, of any mode that Pillow converts to L, LA, RGB or RGBA.

    profile: how to get to sRGB; None if the pixels are sRGB. orientation: as in EXIF, 1 to 8.
    """

    picture: Image.Image
    profile: Profile | None = None
    orientation: int = 1


@dataclass(frozen=True)
class Opened:
    """A picture whose header has been read. decode: takes by how much the caller will reduce its sides.

    A format that can scale while it decodes may return a picture that is already smaller, but not by more.
    samples: decodes the file's own samples (H, W, C), grey or RGB, of 8 or 16 bits, with alpha last, and returns them
    with their profile; None if `decode` returns as much.
    """

    width: int
    height: int
    decode: Callable[[int], Decoded]
    notes: tuple[str, ...] = ()
    samples: Callable[[], tuple[Samples, Profile | None]] | None = None
