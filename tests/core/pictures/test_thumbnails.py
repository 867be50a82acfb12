"""Thumbnails of pictures, and of stored files of any depth."""

import io

import numpy as np
import pytest
from PIL import Image
from support import pictures

from core.pictures.deep_png import write_deep_png
from core.pictures.thumbnails import make_thumbnail, read_thumbnail
from core.schemas.thumbnails import LONGEST_SIDE


@pytest.mark.parametrize(
    ("size", "shown"), [((800, 400), (384, 192)), ((30, 20), (30, 20)), ((384, 384), (384, 384)), ((1, 4000), (1, 384))]
)
def test_a_picture_is_scaled_down_to_the_longest_side_and_never_up(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    thumbnail = pictures.decoded(make_thumbnail(pictures.colors(*size)))
    assert (thumbnail.format, thumbnail.size, max(shown) <= LONGEST_SIDE) == ("WEBP", shown, True)


def test_transparency_is_kept() -> None:
    thumbnail = pictures.decoded(read_thumbnail(io.BytesIO(pictures.with_hole(hole=(0, 0, 6, 7)))))
    alpha = np.asarray(thumbnail)[..., 3]
    assert (alpha[:, :6].max(), alpha[:, 6:].min()) == (0, 255)


def test_grey_of_16_bits_is_shown_as_its_high_byte() -> None:
    levels = np.full((20, 20, 1), 0x40FF, np.uint16)
    for content in (write_deep_png(levels), pictures.encoded(Image.fromarray(levels[..., 0]), "PNG")):
        shown = pictures.pixels(read_thumbnail(io.BytesIO(content)))
        assert np.abs(shown.astype(int) - 0x40).max() <= 1
