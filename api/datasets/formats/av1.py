"""The colours that AV1 data states about itself, in its sequence header (AV1 Bitstream, sections 5.3 and 5.5)."""

SEQUENCE_HEADER = 1
MAX_UNITS = 10


class EndOfBits(ValueError):
    """The data ends inside of the header."""


class Bits:
    """Reads numbers from bytes, the most significant bit first."""

    def __init__(self, content: bytes) -> None:
        self._number, self._left = int.from_bytes(content, "big"), 8 * len(content)

    def read(self, count: int = 1) -> int:
        self._left -= count
        if self._left < 0:
            raise EndOfBits
        return (self._number >> self._left) & ((1 << count) - 1)


def code_points(content: bytes) -> tuple[int, int, int] | None:
    """Return primaries, transfer function and matrix as in ITU-T H.273; None if the data states none."""
    try:
        at = 0
        for _ in range(MAX_UNITS):
            kind, begin, end = _unit(content, at)
            if kind == SEQUENCE_HEADER:
                return _colours(Bits(content[begin:end]))
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
    while True:
        byte = content[at]
        at += 1
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
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
        if bits.read():  # the same interval between all frames: a number with as many bits as zeros before it
            zeros = 0
            while not bits.read():
                zeros += 1
            bits.read(zeros)
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
