"""The colours that HEVC data states about itself, in its sequence parameter set (ITU-T H.265, 7.3.2.2 and E.2.1)."""

import struct
from collections.abc import Iterator

from api.datasets.formats.bits import Bits, EndOfBits

SEQUENCE_PARAMETER_SET = 33
MAX_BYTES = 4096  # of a set; real ones have fewer than 200
MAX_PICTURE_SETS = 64
OTHER_ASPECT_RATIO = 255


def code_points(configuration: bytes) -> tuple[int, int, int] | None:
    """Return primaries, transfer function and matrix as in ITU-T H.273; None if the data states none.

    configuration: the content of the box `hvcC` (ISO/IEC 14496-15, 8.3.3.1).
    """
    try:
        for unit in _units(configuration):
            if (unit[0] >> 1) & 63 == SEQUENCE_PARAMETER_SET:
                escaped = unit[2:MAX_BYTES]
                return _colours(Bits(escaped.replace(b"\0\0\3", b"\0\0")))
    except (IndexError, struct.error, EndOfBits):
        pass
    return None


def _units(configuration: bytes) -> Iterator[bytes]:
    """Yield the parameter sets (NAL units)."""
    at = 23
    for _ in range(configuration[22]):
        (count,) = struct.unpack_from(">H", configuration, at + 1)
        at += 3
        for _ in range(count):
            (length,) = struct.unpack_from(">H", configuration, at)
            yield configuration[at + 2 : at + 2 + length]
            at += 2 + length


def _colours(bits: Bits) -> tuple[int, int, int] | None:
    bits.read(4)
    layers = bits.read(3)  # besides the first
    bits.read()
    _skip_profile(bits, layers)
    bits.read_golomb()
    if bits.read_golomb() == 3:  # 4:4:4
        bits.read()
    _skip_golomb(bits, 2)  # width and height
    if bits.read():  # cropped
        _skip_golomb(bits, 4)
    _skip_golomb(bits, 2)  # depths
    counter_bits = bits.read_golomb() + 4
    _skip_golomb(bits, 3 * (layers + 1 if bits.read() else 1))
    _skip_golomb(bits, 6)  # sizes of blocks
    if bits.read() and bits.read():
        _skip_scaling_lists(bits)
    bits.read(2)
    if bits.read():  # uncompressed blocks
        bits.read(8)
        _skip_golomb(bits, 2)
        bits.read()
    _skip_reference_sets(bits, counter_bits)
    bits.read(2)
    return _stated(bits) if bits.read() else None


def _stated(bits: Bits) -> tuple[int, int, int] | None:
    """Return the code points from the parameters of usability (VUI)."""
    if bits.read() and bits.read(8) == OTHER_ASPECT_RATIO:
        bits.read(32)
    if bits.read():  # overscan
        bits.read()
    if not bits.read():  # kind of signal
        return None
    bits.read(4)
    return (bits.read(8), bits.read(8), bits.read(8)) if bits.read() else None


def _skip_profile(bits: Bits, layers: int) -> None:
    bits.read(96)
    present = [(bits.read(), bits.read()) for _ in range(layers)]
    if layers:
        bits.read(2 * (8 - layers))
    for has_profile, has_level in present:
        bits.read(88 * has_profile + 8 * has_level)


def _skip_scaling_lists(bits: Bits) -> None:
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if bits.read():
                _skip_golomb(bits, min(64, 16 << (2 * size)) + (size > 1))
            else:
                bits.read_golomb()


def _skip_reference_sets(bits: Bits, counter_bits: int) -> None:
    """Skip which other pictures a picture of a film may refer to; some sets are stated by the set before them."""
    size = 0  # of the set before
    for index in range(min(bits.read_golomb(), MAX_PICTURE_SETS)):
        if index and bits.read():
            bits.read()
            bits.read_golomb()
            size = sum(1 for _ in range(size + 1) if bits.read() or bits.read())
        else:
            size = bits.read_golomb() + bits.read_golomb()
            for _ in range(size):
                bits.read_golomb()
                bits.read()
    if bits.read():
        for _ in range(bits.read_golomb()):
            bits.read(counter_bits + 1)


def _skip_golomb(bits: Bits, count: int) -> None:
    for _ in range(count):
        bits.read_golomb()
