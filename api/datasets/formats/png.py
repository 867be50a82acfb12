"""PNG. Chromium's order of precedence among colour chunks: cICP, iCCP, sRGB, gAMA with cHRM.

Only the chunks that carry pixels are given to Pillow, which would refuse a picture for rubbish in its metadata.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from api.datasets.formats import exif
from api.datasets.formats.opened import FIRST_FRAME, Decoded, NotSupported, NotThisFormat, Opened
from core.pictures.deep_png import joined, low_bytes
from core.pictures.icc import read_icc
from core.pictures.profiles import (
    SRGB_TO_XYZ,
    Profile,
    ProfileUnusable,
    Samples,
    chromaticities_to_xyz,
    coded_profile,
    gamma,
    has_meaning,
    matrix_profile,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}
MAX_PROFILE_BYTES = 16 << 20
GREY, TRUECOLOUR, INDEXED, GREY_ALPHA = 0, 2, 3, 4
SRGB_GAMMA, GAMMA_TOLERANCE = 2.2, 0.05  # a gamma so near to that of sRGB means sRGB


@dataclass(frozen=True)
class Header:
    width: int
    height: int
    bits: int
    kind: int


@dataclass(frozen=True)
class Chunk:
    name: bytes
    content: memoryview
    whole: memoryview  # with length, name and checksum
    sound: bool


def open_png(content: bytes) -> Opened:
    """Read the chunks of a PNG. Raises NotThisFormat."""
    chunks = list(_chunks(content))
    if not chunks or chunks[0].name != b"IHDR" or len(chunks[0].content) != 13:
        raise NotThisFormat
    header = _header(chunks)
    before = _before_pixels(chunks, header.kind)
    frames = min(_stated_frames(chunks), sum(chunk.name == b"fcTL" for chunk in chunks))
    hidden = frames > 0 and b"fcTL" not in before  # a picture that only viewers without animation show
    orientation = exif.orientation(before.get(b"eXIf", b""))

    def decode(_: int) -> Decoded:
        profile = _profile(before)
        if not hidden:
            return Decoded(_pixels(chunks, header, before, profile is not None), profile, orientation)
        frame, place = _first_frame(chunks, header)
        shown = _pixels(frame, _header(frame), before, profile is not None)
        if shown.size != (header.width, header.height):
            canvas = Image.new("RGBA", (header.width, header.height))
            canvas.paste(shown.convert("RGBA"), place)
            shown = canvas
        return Decoded(shown, profile, orientation)

    def samples() -> tuple[Samples, Profile | None]:
        if orientation != 1 or header.kind == GREY_ALPHA or b"tRNS" in before:
            raise NotSupported("16 bits a channel in grey with alpha, with a transparent colour, or to be turned")
        return _deep_samples(chunks), _profile(before)

    notes = (FIRST_FRAME,) if frames > 1 else ()
    deep = header.bits == 16 and not hidden
    return Opened(header.width, header.height, decode, notes, samples if deep else None)


def _header(chunks: list[Chunk]) -> Header:
    return Header(*struct.unpack_from(">IIBB", chunks[0].content))


def _chunks(content: bytes) -> Iterator[Chunk]:
    view, at = memoryview(content), len(SIGNATURE)
    while at + 12 <= len(view):
        length, name = struct.unpack_from(">I4s", view, at)
        end = at + 12 + length
        if end > len(view):  # truncated: Pillow will say so
            yield Chunk(name, view[at + 8 :], view[at:], sound=False)
            return
        (checksum,) = struct.unpack_from(">I", view, end - 4)
        yield Chunk(name, view[at + 8 : end - 4], view[at:end], zlib.crc32(view[at + 4 : end - 4]) == checksum)
        at = end


def _before_pixels(chunks: list[Chunk], kind: int) -> dict[bytes, bytes]:
    """Return the first sound chunk of each name before the pixels. Those in the wrong place or length do not count."""
    found: dict[bytes, bytes] = {}
    for chunk in chunks:
        if chunk.name == b"IDAT":
            break
        if not chunk.sound or len(chunk.content) != LENGTHS.get(chunk.name, len(chunk.content)):
            continue
        after_palette = b"PLTE" in found
        if (chunk.name == b"cICP" and after_palette) or (chunk.name == b"tRNS" and (kind == INDEXED) > after_palette):
            continue
        found.setdefault(chunk.name, bytes(chunk.content))
    return found


def _stated_frames(chunks: list[Chunk]) -> int:
    for chunk in chunks:
        if chunk.name == b"acTL" and len(chunk.content) == 8:
            return int.from_bytes(chunk.content[:4], "big")
    return 0


def _first_frame(chunks: list[Chunk], header: Header) -> tuple[list[Chunk], tuple[int, int]]:
    """Return the first frame of an animation as chunks of a still picture, and where on the canvas it belongs."""
    first, *later = (index for index, chunk in enumerate(chunks) if chunk.name == b"fcTL")
    width, height, left, top = struct.unpack_from(">4I", chunks[first].content, 4)
    if left + width > header.width or top + height > header.height:
        raise ValueError("its first frame is outside of the picture")
    still = [_chunk(b"IHDR", struct.pack(">II", width, height) + bytes(chunks[0].content[8:]))]
    still += [chunk for chunk in chunks[:first] if chunk.name in (b"PLTE", b"tRNS")]
    frame = chunks[first : later[0] if later else None]
    still += [_chunk(b"IDAT", bytes(chunk.content[4:])) for chunk in frame if chunk.name == b"fdAT"]
    return [*still, _chunk(b"IEND", b"")], (left, top)


def _chunk(name: bytes, content: bytes) -> Chunk:
    whole = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return Chunk(name, memoryview(content), memoryview(whole), sound=True)


def _open(chunks: list[Chunk], *further: Chunk) -> ImageFile.ImageFile:
    """Open the picture without metadata. further: chunks to put after the palette."""
    kept = [chunk for chunk in chunks if chunk.name in PIXEL_CHUNKS]
    begin = next((index for index, chunk in enumerate(kept) if chunk.name == b"IDAT"), len(kept))
    kept[begin:begin] = further
    return Image.open(io.BytesIO(b"".join([SIGNATURE, *(chunk.whole for chunk in kept)])), formats=["PNG"])


def _pixels(chunks: list[Chunk], header: Header, before: dict[bytes, bytes], coarsely: bool) -> Image.Image:
    """Decode to 8 bits. coarsely: keep the high bytes of 16 bits, as browsers do before they convert colours."""
    key = before.get(b"tRNS", b"")
    if header.kind == INDEXED:
        return _indexed(chunks, len(before.get(b"PLTE", b"")) // 3, key)
    with _open(chunks) as opened:
        opened.load()
        picture: Image.Image = opened
    if header.kind == GREY and header.bits == 16:
        levels = np.asarray(picture)
        eight = levels >> 8 if coarsely else (levels.astype(np.uint32) + 128) // 257
        picture = Image.fromarray(eight.astype(np.uint8))
        if len(key) >= 2:
            _hide(picture, levels == int.from_bytes(key[:2], "big"))
    elif header.kind == GREY:
        picture, most = picture.convert("L"), 2**header.bits - 1
        if len(key) >= 2 and key[1] <= most:
            _hide(picture, np.asarray(picture) == key[1] * 255 // most)
    elif header.kind == TRUECOLOUR and len(key) >= 6:
        hidden = _equals(picture, key[1:6:2] if header.bits == 8 else key[:6:2])
        if header.bits == 16:
            with _open(chunks) as opened:
                hidden &= _equals(low_bytes(opened), key[1:6:2])
        _hide(picture, hidden)
    return picture


def _indexed(chunks: list[Chunk], colours: int, transparency: bytes) -> Image.Image:
    if colours == 0:
        raise NotSupported("indexed colours without a palette")
    with _open(chunks, *([_chunk(b"tRNS", transparency)] if transparency else [])) as opened:
        opened.load()
        if np.asarray(opened).max() >= colours:
            raise NotSupported("a pixel's index is beyond the palette")
        return opened


def _deep_samples(chunks: list[Chunk]) -> Samples:
    """Decode all of 16 bits -> (H, W, C)."""
    with _open(chunks) as opened:
        opened.load()
        high = np.array(opened)
    if high.dtype == np.uint16:
        return high[..., None]
    with _open(chunks) as opened:
        return joined(high, low_bytes(opened))


def _equals(picture: Image.Image | NDArray[np.uint8], colour: bytes) -> NDArray[np.bool_]:
    equal: NDArray[np.bool_] = (np.asarray(picture) == np.frombuffer(colour, np.uint8)).all(axis=2)
    return equal


def _hide(picture: Image.Image, hidden: NDArray[np.bool_]) -> None:
    picture.putalpha(Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)))


def _profile(chunks: dict[bytes, bytes]) -> Profile | None:
    if b"cICP" in chunks:
        primaries, transfer, matrix, full_range = chunks[b"cICP"]
        if matrix or full_range > 1:
            raise NotSupported(f"a cICP chunk with matrix {matrix} and range {full_range}, which PNG does not allow")
        if full_range and has_meaning(primaries, transfer):
            return coded_profile(primaries, transfer)
    if b"iCCP" in chunks:
        with suppress(ProfileUnusable, zlib.error):
            return read_icc(_inflated(chunks[b"iCCP"]))
    if b"sRGB" in chunks and chunks[b"sRGB"][0] < 4:
        return None
    return _of_gamma(int.from_bytes(chunks.get(b"gAMA", b""), "big") / 100_000, chunks.get(b"cHRM"))


def _inflated(iccp: bytes) -> bytes:
    """Return the profile of an iCCP chunk: a name, a zero, the method of compression (zero), the profile."""
    name_ends = iccp.find(b"\0")
    if not 1 <= name_ends <= 79 or iccp[name_ends + 1 : name_ends + 2] != b"\0":
        raise ProfileUnusable("a chunk in another form")
    inflater = zlib.decompressobj()
    profile = inflater.decompress(iccp[name_ends + 2 :], MAX_PROFILE_BYTES)
    if not inflater.eof:
        raise ProfileUnusable("truncated, or larger than any profile")
    return profile


def _of_gamma(stated: float, chromaticities: bytes | None) -> Profile | None:
    if stated <= 0:
        return None
    if chromaticities is None:
        if abs(stated * SRGB_GAMMA - 1) <= GAMMA_TOLERANCE:
            return None
        return matrix_profile(gamma(1 / stated), SRGB_TO_XYZ)
    numbers = [value / 100_000 for value in struct.unpack(">8I", chromaticities)]
    try:
        to_xyz = chromaticities_to_xyz(*zip(numbers[::2], numbers[1::2], strict=True))
    except ProfileUnusable:
        return None
    return matrix_profile(gamma(1 / stated), to_xyz)
