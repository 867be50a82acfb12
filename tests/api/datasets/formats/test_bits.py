"""Numbers from bits, as the headers of coded pictures have them."""

import pytest

from api.datasets.formats.bits import Bits, EndOfBits


def test_numbers_are_read_from_the_most_significant_bit_on() -> None:
    bits = Bits(bytes([0b1011_0011, 0b0000_0001]))
    assert [bits.read(), bits.read(3), bits.read(0), bits.read(12)] == [1, 0b011, 0, 0b0011_0000_0001]


def test_golomb_codes_are_zeros_and_as_many_bits_and_one_more() -> None:
    codes = "1" + "010" + "011" + "00100" + "00111" + "000011111"
    content = int(codes.ljust(32, "1"), 2).to_bytes(4, "big")
    bits = Bits(content)
    assert [bits.read_golomb() for _ in range(6)] == [0, 1, 2, 3, 6, 30]


def test_the_end_of_the_data_is_an_error() -> None:
    bits = Bits(b"\0")
    assert bits.read(7) == 0
    with pytest.raises(EndOfBits):
        bits.read(2)
    with pytest.raises(EndOfBits):
        Bits(b"\0").read_golomb()
    with pytest.raises(EndOfBits):
        Bits(b"\1").read_golomb()
