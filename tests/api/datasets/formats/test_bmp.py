"""BMP: layouts that no browser is asked about, and what is refused; test_as_in_browsers.py has the others."""

import struct

import numpy as np
import pytest
from support import icc
from support.bmp import bmp, rows

from api.datasets.formats.bmp import open_bmp
from api.datasets.formats.opened import NotSupported, NotThisFormat

PALETTE = bytes([10, 20, 30, 0, 40, 50, 60, 0])  # blue, green, red, unused
COLOURS = [[30, 20, 10], [60, 50, 40]]
INDICES = np.array([[0, 1, 0], [1, 1, 0]])


def _pixels(content: bytes) -> np.ndarray:
    opened = open_bmp(content)
    found = np.asarray(opened.decode(1).picture)
    assert found.shape[:2] == (opened.height, opened.width)
    return found


def test_rows_are_stored_from_the_bottom_up_unless_the_height_is_negative() -> None:
    for height, order in ((2, INDICES), (-2, INDICES[::-1])):
        found = _pixels(bmp(3, height, 1, rows(order, 1), palette=PALETTE))
        assert np.array_equal(found, np.array(COLOURS, np.uint8)[INDICES])


def test_the_oldest_header_has_a_palette_of_three_bytes_each() -> None:
    palette = b"".join(PALETTE[at : at + 3] for at in (0, 4))
    body = struct.pack("<IHHHH", 12, 3, 2, 1, 1) + palette + rows(INDICES, 1)
    content = b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 12 + len(palette)) + body
    assert np.array_equal(_pixels(content), np.array(COLOURS, np.uint8)[INDICES])


def test_colours_that_the_palette_lacks_are_black_and_a_grey_palette_gives_grey() -> None:
    found = _pixels(bmp(3, 2, 8, rows(INDICES + 1, 8), palette=PALETTE))
    assert found[0].tolist() == [COLOURS[1], [0, 0, 0], COLOURS[1]]
    grey = bmp(3, 2, 1, rows(INDICES, 1), palette=bytes([7, 7, 7, 0, 9, 9, 9, 0]))
    assert _pixels(grey).tolist() == [[7, 9, 7], [9, 9, 7]]


@pytest.mark.parametrize("compression", [1, 2])
def test_run_lengths_jump_end_rows_and_hold_literal_pixels(compression: int) -> None:
    """Both rows from the bottom up: two of a colour, then a jump; then literal pixels, of which one is beyond."""
    one, literal = (1, b"\1\0\1\0") if compression == 1 else (0x11, b"\x10\x10")
    runs = bytes([2, one, 0, 2, 1, 0, 0, 0, 0, 4]) + literal + b"\0\1"
    found = _pixels(bmp(3, 2, 8 if compression == 1 else 4, runs, compression=compression, palette=PALETTE))
    assert found.tolist() == [[COLOURS[1], COLOURS[0], COLOURS[1]], [COLOURS[1], COLOURS[1], [0, 0, 0]]]


def test_run_lengths_without_an_end_are_broken() -> None:
    with pytest.raises(ValueError, match="end too soon"):
        _pixels(bmp(3, 2, 8, b"\3\1", compression=1, palette=PALETTE))


def test_fields_of_any_width_are_scaled_to_8_bits() -> None:
    levels = np.array([[0b00000_000000_11111, 0b11111_111111_00000, 0b10000_100000_00001]])
    found = _pixels(bmp(3, 1, 16, rows(levels, 16), compression=3, masks=(0xF800, 0x7E0, 0x1F)))
    assert found.tolist() == [[[0, 0, 255], [255, 255, 0], [132, 130, 8]]]
    without_blue = bmp(3, 1, 16, rows(levels, 16), compression=3, masks=(0xF800, 0x7E0, 0))
    assert _pixels(without_blue).tolist() == [[[0, 0, 0], [255, 255, 0], [132, 130, 0]]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bmp(3, 2, 8, b"", compression=4), "8 bits a pixel and compression 4"),
        (bmp(3, 2, 8, b"", compression=2), "8 bits a pixel and compression 2"),
        (bmp(3, 2, 24, b"", compression=3), "24 bits a pixel and compression 3"),
        (bmp(3, 2, 5, b""), "5 bits a pixel"),
    ],
)
def test_layouts_that_cannot_be_read_are_named(content: bytes, said: str) -> None:
    with pytest.raises(NotSupported, match=said):
        open_bmp(content)


def test_what_only_its_pixels_show_is_refused_then() -> None:
    gaps = bmp(1, 1, 16, b"\0\0\0\0", compression=3, masks=(0x5000, 0x7E0, 0x1F))
    with pytest.raises(NotSupported, match="bit fields have gaps"):
        open_bmp(gaps).decode(1)
    grey = bmp(1, 1, 24, b"\0\0\0\0", header=124, profile=icc.grey(icc.gamma(1)))
    with pytest.raises(NotSupported, match="a profile of grey"):
        open_bmp(grey).decode(1)


@pytest.mark.parametrize("content", [b"BM", b"BM" + bytes(40), bmp(3, 2, 24, b"")[:30]])
def test_what_only_begins_like_a_bmp_is_none(content: bytes) -> None:
    with pytest.raises(NotThisFormat):
        open_bmp(content)
