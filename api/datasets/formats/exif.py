"""The orientation in a block of EXIF. What cannot be read is ignored, as in browsers."""

import struct

ORIENTATION, SHORT = 0x0112, 3


def orientation(block: bytes) -> int:
    """Return the orientation, 1 to 8, that the first directory of a TIFF states; 1 if it states none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, values, value = struct.unpack_from(f"{order}HHIHxx", block, entry)
            if tag == ORIENTATION:
                return value if kind == SHORT and values == 1 and 1 <= value <= 8 else 1
    except struct.error:
        pass  # it ends too soon
    return 1
