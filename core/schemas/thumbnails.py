"""Which pictures have a thumbnail of their own."""

LONGEST_SIDE = 384  # pixels
SMALL_BYTES = 64 << 10


def is_small(width: int, height: int, size: int) -> bool:
    """Return True if a picture file of `size` bytes is its own thumbnail."""
    return max(width, height) <= LONGEST_SIDE and size <= SMALL_BYTES
