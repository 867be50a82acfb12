"""The orientation in a block of EXIF; what cannot be read is ignored."""

import struct

import pytest
from support.png import exif

from api.datasets.formats.exif import orientation

OTHER_TAGS = struct.pack("<IHHHIIHHIHH", 8, 2, 0x010F, 3, 1, 7, 0x0112, 3, 1, 6, 0) + bytes(4)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("turn", range(1, 9))
def test_each_orientation_is_read_in_both_byte_orders(order: str, turn: int) -> None:
    assert orientation(exif(turn, order)) == turn


def test_it_may_come_after_other_tags() -> None:
    assert orientation(b"II*\0" + OTHER_TAGS) == 6


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0" + exif(6),
        b"II+\0" + exif(6)[4:],
        exif(0),
        exif(9),
        exif(6, kind=4),
        exif(6)[:-6],
        b"II*\0" + struct.pack("<I", 1000),
        b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 2, 6, 6),
        b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0113, 3, 1, 6, 0),
    ],
)
def test_what_states_none_is_upright(block: bytes) -> None:
    assert orientation(block) == 1
