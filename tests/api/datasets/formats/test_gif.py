"""GIF: what the first frame does not cover is transparent, as browsers show it."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from support import pictures

from api.datasets.formats.gif import open_gif
from api.datasets.formats.opened import FIRST_FRAME

PALETTE = bytes([10, 20, 30, 200, 100, 50, 0, 255, 0, 255, 255, 255])


def _gif(left: int, top: int, frames: int = 1) -> bytes:
    """Return a GIF of 6 x 6 pixels whose frames of 4 x 4 begin at (left, top)."""
    codes = [256, *[0, 1, 2, 3] * 4, 257]
    packed = sum(code << 9 * place for place, code in enumerate(codes)).to_bytes(21, "little")
    frame = b"," + struct.pack("<4HB", left, top, 4, 4, 0) + b"\x08" + bytes([len(packed)]) + packed + b"\0"
    return b"GIF89a" + struct.pack("<HHBBB", 6, 6, 0xF7, 1, 0) + PALETTE.ljust(768, b"\0") + frame * frames + b";"


def test_a_frame_that_covers_the_picture_is_read_as_it_is() -> None:
    picture = pictures.colors().quantize(8)
    opened = open_gif(pictures.encoded(picture, "GIF"))
    decoded = opened.decode(1).picture
    assert (opened.width, opened.height, opened.notes) == (12, 7, ())
    assert decoded.mode == "P"
    assert np.array_equal(np.asarray(decoded.convert("RGB")), np.asarray(picture.convert("RGB")))


def test_a_smaller_frame_leaves_the_rest_transparent() -> None:
    opened = open_gif(_gif(1, 2))
    found = np.asarray(opened.decode(1).picture)
    covered = np.zeros((6, 6), bool)
    covered[2:6, 1:5] = True
    assert found.shape == (6, 6, 4)
    assert ((found[..., 3] == 255) == covered).all()
    assert found[2, 1:5, 0].tolist() == [10, 200, 0, 255]


def test_of_an_animation_the_first_frame_is_noted_even_if_the_second_is_broken() -> None:
    film = pictures.encoded(pictures.colors(), "GIF", save_all=True, append_images=[Image.new("RGB", (12, 7))])
    assert open_gif(film).notes == (FIRST_FRAME,)
    whole = _gif(0, 0, frames=2)
    cut = whole[: len(_gif(0, 0)) + 4]  # within the second frame's place and size
    with Image.open(io.BytesIO(cut)) as opened, pytest.raises(struct.error):
        _ = opened.is_animated  # type: ignore[attr-defined]
    assert open_gif(cut).notes == (FIRST_FRAME,)
