"""The colours that the data of an AVIF state, also in headers that no encoder at hand writes."""

import pytest

from api.datasets.formats import av1

CODES = (12, 16, 9)


def _golomb(number: int) -> str:
    return "0" * ((number + 1).bit_length() - 1) + f"{number + 1:b}"


def _packed(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _header(
    *, points: str = "0" + "0" + "00000" + "0" * 12 + "00000", tools: str = "0000" + "0" + "1" + "1", profile: int = 0
) -> bytes:
    """Return a sequence header with colours. points: timing and operating points; tools: those of moving pictures."""
    start = f"{profile:03b}" + "0" + "0" + points
    size = "0011" + "0100" + "1010" + "10101"
    depth = ("1" + "0" if profile == 2 else "0") + ("" if profile == 1 else "0")
    return _packed(start + size + "0" + "000" + tools + "000" + depth + "1" + "".join(f"{code:08b}" for code in CODES))


def _unit(kind: int, content: bytes, *, extension: bool = False, sized: bool = True, padded: bool = False) -> bytes:
    head = bytes([kind << 3 | extension << 2 | sized << 1]) + b"\0" * extension
    size = bytes([len(content) | 128, 0]) if padded else bytes([len(content)])
    return head + (size if sized else b"") + content


def test_the_colours_come_from_the_first_sequence_header() -> None:
    header = _header()
    for data in (
        _unit(1, header),
        _unit(1, header, extension=True),
        _unit(1, header, sized=False),
        _unit(1, header, padded=True),
        _unit(2, b"") + _unit(15, b"abc") + _unit(1, header) + _unit(3, b"frame"),
    ):
        assert av1.code_points(data) == CODES
    assert av1.code_points(_unit(3, header)) is None


POINT, TIMING = "0" * 12, "0" * 64


@pytest.mark.parametrize(
    "points",
    [
        "0" + "0" + "00001" + 2 * (POINT + "00000"),
        "0" + "0" + "00000" + POINT + "01000" + "0",
        "0" + "1" + "00000" + POINT + "00000" + "1" + "0000",
        "1" + TIMING + "0" + "0" + "0" + "00000" + POINT + "00000",
        "1" + TIMING + "1" + _golomb(5) + "0" + "0" + "00000" + POINT + "00000",
        "1" + TIMING + "0" + "1" + "00011" + "0" * 42 + "0" + "00000" + POINT + "00000" + "1" + "0" * 9,
        "1" + TIMING + "0" + "1" + "00011" + "0" * 42 + "0" + "00000" + POINT + "00000" + "0",
    ],
)
def test_the_colours_are_found_behind_any_timing_and_operating_points(points: str) -> None:
    assert av1.code_points(_unit(1, _header(points=points))) == CODES


@pytest.mark.parametrize(
    "tools",
    ["0000" + "0" + "0" + "0", "0000" + "0" + "0" + "1" + "0" + "1", "0000" + "1" + "11" + "1" + "0" + "1" + "111"],
)
def test_the_colours_are_found_behind_any_tools(tools: str) -> None:
    assert av1.code_points(_unit(1, _header(tools=tools))) == CODES


@pytest.mark.parametrize("profile", [0, 1, 2])
def test_each_profile_has_bits_of_its_own_before_the_colours(profile: int) -> None:
    assert av1.code_points(_unit(1, _header(profile=profile))) == CODES


def test_a_still_picture_has_a_reduced_header() -> None:
    bits = "000" + "1" + "1" + "00000" + "0011" + "0100" + "1010" + "10101" + "000" + "000" + "0" + "0"
    codes = "".join(f"{code:08b}" for code in CODES)
    assert av1.code_points(_unit(1, _packed(bits + "1" + codes))) == CODES
    assert av1.code_points(_unit(1, _packed(bits + "0" + codes))) is None, "none are stated"


def test_what_is_cut_off_states_no_colours() -> None:
    whole = _unit(1, _header())
    for length in range(len(whole)):
        assert av1.code_points(whole[:length]) is None
