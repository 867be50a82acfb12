"""JPEG, also inside of MPO. Scaled while it is decoded, in steps of 2."""

import io
import math
import struct
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from api.datasets.formats import exif
from api.datasets.formats.opened import Decoded, NotSupported, NotThisFormat, Opened
from core.pictures.icc import read_usable
from core.pictures.profiles import merge_black

EXIF_HEADERS = (b"Exif\0\0", b"Exif\0\xff")
ICC_HEADER = b"ICC_PROFILE\0"
MULTI_PICTURE_HEADER = b"MPF\0"
APP1, APP2, START_OF_SCAN = 0xE1, 0xE2, 0xDA
DECODER_SCALES = (1, 2, 4, 8)
FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
PROGRESSIVE = {0xC2, 0xCA}
COEFFICIENTS_PER_BLOCK, BYTES_PER_COEFFICIENT = 64, 2
LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
HIERARCHICAL = {0xC5, 0xC6, 0xCD, 0xCE}


def open_jpeg(content: bytes) -> Opened:
    """Read the segments before the pixels. Raises NotThisFormat, NotSupported."""
    size, orientation, coefficients = None, None, 0
    parts: list[bytes] = []  # of the profile
    several = False
    for marker, segment in _segments(content):
        if marker in FRAMES and len(segment) >= 6:
            bits, height, width, channels = struct.unpack_from(">BHHB", segment)
            _check_frame(marker, bits, channels)
            size = width, height
            coefficients = _coefficient_bytes(segment) if marker in PROGRESSIVE else 0
        elif marker == APP1 and orientation is None and segment[:6] in EXIF_HEADERS:  # only the first counts
            orientation = exif.orientation(segment[6:])
        elif marker == APP2 and segment.startswith(ICC_HEADER) and len(segment) > 14:
            parts.append(segment[len(ICC_HEADER) :])
        elif marker == APP2 and segment.startswith(MULTI_PICTURE_HEADER):
            several = True
    if size is None:
        raise NotThisFormat

    def decode(reduction: int) -> Decoded:
        scale = _decoder_scale(reduction)
        _ensure_memory(coefficients + 4 * (size[0] // scale) * (size[1] // scale))
        with Image.open(io.BytesIO(content), formats=["JPEG", "MPO"]) as opened:
            profile = read_usable(_joined(parts))
            if scale > 1:
                opened.draft("", (max(size[0] // scale, 1), max(size[1] // scale, 1)))
            opened.load()
            if opened.mode == "CMYK":
                profile = merge_black(profile) if profile is not None and profile.channels == 4 else None
            return Decoded(opened, profile, orientation or 1)

    return Opened(*size, decode, _notes(content) if several else ())


def _decoder_scale(reduction: int) -> int:
    """Return by how much libjpeg scales: so that little is lost when a whole factor does the rest, in little memory."""
    scales = [scale for scale in DECODER_SCALES if reduction / 3 <= scale <= reduction] or [DECODER_SCALES[-1]]
    return min(scales, key=lambda scale: (math.ceil(reduction / scale) * scale, -scale))


def _notes(content: bytes) -> tuple[str, ...]:
    """Return how many pictures are left out. A map for bright screens (Ultra HDR) is none for Pillow."""
    with Image.open(io.BytesIO(content), formats=["JPEG", "MPO"]) as opened:
        count = getattr(opened, "n_frames", 1)
    return (f"only the first of {count} pictures is used",) if count > 1 else ()


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the content of each segment before the first scan."""
    at = 2
    while at + 4 <= len(content):
        marker = content[at + 1]
        if content[at] != 0xFF or marker == 0xFF:
            at += 1  # filler
            continue
        if marker == 0 or marker == 1 or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        if marker == START_OF_SCAN:
            return
        (length,) = struct.unpack_from(">H", content, at + 2)
        yield marker, content[at + 4 : at + 2 + length]
        at += 2 + length


def _joined(parts: Sequence[bytes]) -> bytes | None:
    """Return the profile, whose parts begin with their number and count, in any order; what follows does not count.

    None if one is missing, comes twice or contradicts the first.
    """
    contents: dict[int, bytes] = {}
    for part in parts:
        number, count = part[:2]
        if not 1 <= number <= count or number in contents or count != parts[0][1]:
            return None
        contents[number] = part[2:]
        if len(contents) == count:
            return b"".join(contents[number] for number in sorted(contents))
    return None


def _check_frame(marker: int, bits: int, channels: int) -> None:
    if marker in LOSSLESS:
        raise NotSupported("lossless JPEG")
    if marker in HIERARCHICAL:
        raise NotSupported("hierarchical JPEG")
    if bits != 8:
        raise NotSupported(f"JPEG with {bits} bits a channel; save it with 8")
    if channels not in (1, 3, 4):
        raise NotSupported(f"JPEG with {channels} channels")


def _coefficient_bytes(frame: bytes) -> int:
    """Return the memory for all coefficients of a progressive picture, of which libjpeg holds every one at once."""
    height, width, channels = struct.unpack_from(">HHB", frame, 1)
    factors = [(byte >> 4, byte & 15) for byte in frame[7 : 6 + 3 * channels : 3]]
    across, down = (max((factor[axis] for factor in factors), default=1) or 1 for axis in (0, 1))
    blocks = sum((-(-width * x // (8 * across)) + 1) * (-(-height * y // (8 * down)) + 1) for x, y in factors)
    return int(blocks) * COEFFICIENTS_PER_BLOCK * BYTES_PER_COEFFICIENT


def _ensure_memory(count: int) -> None:
    """Raise MemoryError if `count` bytes are more than the process may have; libjpeg would call the file broken."""
    np.empty(count, np.uint8)
