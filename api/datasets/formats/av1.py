"""The colours that AV1 data states about itself, in its sequence header (AV1 Bitstream, sections 5.3 and 5.5)."""

from api.datasets.formats.bits import Bits, EndOfBits

SEQUENCE_HEADER = 1
MAX_UNITS = 10
MAX_SIZE_BYTES = 8  # of the number that is the size of a unit
MAX_HEADER_BYTES = 1024  # the longest sequence header has fewer


def code_points(content: bytes) -> tuple[int, int, int] | None:
    """Return primaries, transfer function and matrix as in ITU-T H.273; None if the data states none."""
    try:
        at = 0
        for _ in range(MAX_UNITS):
            kind, begin, end = _unit(content, at)
            if kind == SEQUENCE_HEADER:
                return _colours(Bits(content[begin : min(end, begin + MAX_HEADER_BYTES)]))
            at = end
    except (IndexError, EndOfBits):
        pass
    return None


def _unit(content: bytes, at: int) -> tuple[int, int, int]:
    """Return the type of the unit (OBU) at `at`, and where its content begins and ends."""
    head = content[at]
    at += 2 if head & 4 else 1  # with or without an extension
    if not head & 2:
        return (head >> 3) & 15, at, len(content)
    size = shift = 0
    for _ in range(MAX_SIZE_BYTES):
        byte = content[at]
        at += 1
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    return (head >> 3) & 15, at, at + size


def _colours(bits: Bits) -> tuple[int, int, int] | None:
    profile, _, reduced = bits.read(3), bits.read(), bits.read()
    if reduced:
        bits.read(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    bits.read(width_bits + height_bits)
    if not reduced and bits.read():  # frame ids
        bits.read(7)
    bits.read(3)
    if not reduced:
        _skip_tools(bits)
    bits.read(3)
    high_depth = bits.read()
    if profile == 2 and high_depth:
        bits.read()
    if profile != 1:
        bits.read()  # without colours
    return (bits.read(8), bits.read(8), bits.read(8)) if bits.read() else None


def _skip_operating_points(bits: Bits) -> None:
    delay_bits = 0
    if bits.read():  # timing
        bits.read(64)
        if bits.read():  # the same interval between all frames
            bits.read_golomb()
        if bits.read():  # the decoder's model
            delay_bits = bits.read(5) + 1
            bits.read(42)
    has_delay = bits.read()
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:  # level
            bits.read()
        if delay_bits and bits.read():
            bits.read(2 * delay_bits + 1)
        if has_delay and bits.read():
            bits.read(4)


def _skip_tools(bits: Bits) -> None:
    bits.read(4)
    has_order = bits.read()
    if has_order:
        bits.read(2)
    screen = 2 if bits.read() else bits.read()
    if screen and not bits.read():
        bits.read()
    if has_order:
        bits.read(3)
