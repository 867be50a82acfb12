"""WebP, whose orientation browsers ignore."""

from PIL import Image
from support import pictures
from support.png import exif

from api.datasets.formats.opened import FIRST_FRAME
from api.datasets.formats.webp import open_webp


def test_a_picture_is_read_with_its_profile_and_not_turned() -> None:
    options = {"lossless": True, "icc_profile": pictures.swapped_profile(), "exif": exif(6)}
    opened = open_webp(pictures.encoded(pictures.colors(), "WEBP", **options))
    decoded = opened.decode(1)
    assert (opened.width, opened.height, opened.notes, decoded.orientation) == (12, 7, (), 1)
    assert decoded.picture.convert("RGB").tobytes() == pictures.colors().tobytes()
    assert decoded.profile is not None


def test_of_an_animation_the_first_frame_is_read_and_noted() -> None:
    film = pictures.encoded(
        pictures.colors(), "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", (12, 7))]
    )
    opened = open_webp(film)
    assert opened.notes == (FIRST_FRAME,)
    assert opened.decode(1).picture.convert("RGB").tobytes() == pictures.colors().tobytes()
    assert opened.decode(1).profile is None
