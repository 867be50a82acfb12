"""Reads numbers from bits, as the headers of coded pictures have them."""


class EndOfBits(ValueError):
    """The data ends inside of the header."""


class Bits:
    """Reads numbers from bytes, the most significant bit first."""

    def __init__(self, content: bytes) -> None:
        self._number, self._left = int.from_bytes(content, "big"), 8 * len(content)

    def read(self, count: int = 1) -> int:
        """Return a number of `count` bits. Raises EndOfBits."""
        self._left -= count
        if self._left < 0:
            raise EndOfBits
        return (self._number >> self._left) & ((1 << count) - 1)

    def read_golomb(self) -> int:
        """Return a number in exponential Golomb code: zeros, then as many bits and one more. Raises EndOfBits."""
        zeros = 0
        while not self.read():
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)
