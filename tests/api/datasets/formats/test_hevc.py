"""HEVC headers that no encoder at hand writes; test_heif.py reads those of x265."""

import re
import struct

import pytest

from api.datasets.formats import hevc

CODES = (12, 16, 9)


def _golomb(*numbers: int) -> str:
    return "".join("0" * ((number + 1).bit_length() - 1) + f"{number + 1:b}" for number in numbers)


def _configuration(bits: str) -> bytes:
    """Return the content of a box `hvcC` with one sequence parameter set."""
    plain = int(bits + "1", 2) << (-(len(bits) + 1) % 8)
    content = plain.to_bytes(-(-(len(bits) + 1) // 8), "big")
    unit = b"\x42\x01" + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", content)
    return bytes(22) + b"\1\x21" + struct.pack(">HH", 1, len(unit)) + unit


def _film(last_set: str) -> str:
    """Return a set of a film with two layers, uncompressed blocks, and three sets of references."""
    profile = "0000" + "001" + "1" + "01" * 48 + "11" + "00" * 7 + "10" * 48
    sizes = _golomb(0, 1, 63, 63) + "1" + _golomb(0, 1, 0, 1) + _golomb(0, 0, 4) + "1" + _golomb(*[3] * 12)
    blocks = "0" + "11" + "1" + "01110111" + _golomb(0, 2) + "1"
    first, second = _golomb(2, 1) + (_golomb(4) + "1") * 3, "1" + "0" + _golomb(0) + "1" + "00" + "01" + "1"
    long_term = "1" + _golomb(2) + "101010101" * 2
    signal = "1" + "11111111" + "10" * 16 + "10" + "1" + "1011" + "1" + "".join(f"{code:08b}" for code in CODES)
    return profile + sizes + blocks + _golomb(3) + first + second + last_set + long_term + "11" + "1" + signal


def test_colours_after_the_references_of_a_film() -> None:
    """The second set keeps three of the four pictures that the first one suggests, so the third suggests four too."""
    suggested = "1" + "1" + _golomb(5) + "1111"
    own = "0" + _golomb(0, 1) + _golomb(7) + "0"
    assert hevc.code_points(_configuration(_film(suggested))) == CODES
    assert hevc.code_points(_configuration(_film(own))) == CODES


@pytest.mark.parametrize("length", range(0, 100, 3))
def test_what_is_cut_off_states_no_colours(length: int) -> None:
    whole = _configuration(_film("0" + _golomb(0, 0)))
    assert hevc.code_points(whole) == CODES
    assert hevc.code_points(whole[: min(length, len(whole) - 6)]) is None
