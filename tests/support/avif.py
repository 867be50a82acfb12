"""AVIF files as few encoders write them."""

import struct

from api.datasets.formats import isobmff


def stated_in_the_data_only(content: bytes, primaries: int, transfer: int) -> bytes:
    """Return an AVIF whose AV1 data states code points, and whose box of colours is disguised."""
    old_primaries, old_transfer, matrix = struct.unpack_from(">HHH", content, content.find(b"colrnclx") + 8)
    content = content.replace(b"colrnclx", b"skipnclx")
    data = isobmff.picture_data(content)
    length, bits = 8 * len(data), int.from_bytes(data, "big")
    old = old_primaries << 16 | old_transfer << 8 | matrix
    (shift,) = (shift for shift in range(length - 160, length - 24) if (bits >> shift) & 0xFFFFFF == old)
    bits ^= (old ^ (primaries << 16 | transfer << 8 | matrix)) << shift
    return content.replace(data, bits.to_bytes(len(data), "big"))
