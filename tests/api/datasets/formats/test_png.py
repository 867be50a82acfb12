"""PNG: what is refused, and samples of 16 bits; test_as_in_browsers.py has what browsers show."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from support import icc, pictures
from support.icc import matrix
from support.png import P3_XY, RGB, SIGNATURE, chrm, chunk, cicp, exif, frame_control, frame_data, gama, iccp, png, srgb

from api.datasets.formats.opened import FIRST_FRAME, NotSupported, NotThisFormat
from api.datasets.formats.png import MAX_PROFILE_BYTES, open_png
from core.pictures.profiles import Profile

LEVELS = np.array([[0, 64, 128, 255]])
DEEP = np.array([[[0, 1, 2], [257, 300, 65535]]])


def _profile(*chunks: bytes) -> Profile | None:
    return open_png(png(LEVELS, before=chunks)).decode(1).profile


@pytest.mark.parametrize(
    "content",
    [
        SIGNATURE,
        SIGNATURE + chunk(b"IEND", b""),
        SIGNATURE + gama(1) + png(LEVELS)[8:],
        SIGNATURE + chunk(b"IHDR", bytes(12)),
        png(LEVELS)[:20],
    ],
)
def test_what_only_begins_like_a_png_is_none(content: bytes) -> None:
    with pytest.raises(NotThisFormat):
        open_png(content)


def test_of_the_statements_about_colour_the_first_of_their_order_counts() -> None:
    profile = matrix(icc.SRGB_CURVE, icc.SWAPPED)
    narrow, wide = cicp(12, 13, full_range=0), [gama(100_000), chrm(*P3_XY)]
    for chunks in ([gama(45_455)], [gama(0)], [srgb(), gama(100_000)], [chrm(*[0.3] * 8)], [narrow], [cicp(2, 2)], []):
        assert _profile(*chunks) is None, "these are sRGB"
    for chunks in ([gama(100_000)], [iccp(profile), srgb()], [cicp(12, 13), srgb()], [srgb(9), gama(100_000)], wide):
        assert _profile(*chunks) is not None


def test_a_chunk_with_a_wrong_checksum_length_or_place_does_not_count() -> None:
    wrong_checksum, too_long = chunk(b"gAMA", struct.pack(">I", 100_000), 5), chunk(b"gAMA", bytes(5))
    assert _profile(wrong_checksum) is None
    assert _profile(too_long) is None
    assert _profile(wrong_checksum, gama(100_000)) is not None, "a later one does"
    assert open_png(png(LEVELS, after=[gama(100_000)])).decode(1).profile is None
    assert open_png(png(LEVELS, before=[chunk(b"eXIf", exif(6))])).decode(1).orientation == 6
    assert open_png(png(LEVELS, after=[chunk(b"eXIf", exif(6))])).decode(1).orientation == 1


def test_a_profile_is_unpacked_up_to_the_size_of_the_largest() -> None:
    large = iccp(bytes(MAX_PROFILE_BYTES + 1))
    assert len(large) < 100_000
    for ignored in (large, chunk(b"iCCP", b"\0\0" + zlib.compress(b"x")), chunk(b"iCCP", b"name\0\1rest")):
        assert _profile(ignored, gama(100_000)) is not None, "the next statement counts"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (png(LEVELS, before=[cicp(1, 13, matrix=5)]), "cICP chunk with matrix 5"),
        (png(LEVELS, before=[cicp(1, 13, full_range=2)]), "range 2"),
        (png([[0, 1]], 8, 3), "without a palette"),
        (png([[0, 2]], 8, 3, palette=bytes(6)), "beyond the palette"),
    ],
)
def test_what_cannot_be_read_right_is_named(content: bytes, said: str) -> None:
    with pytest.raises(NotSupported, match=said):
        open_png(content).decode(1)


def _animation(*frames: bytes, number: int = 2, first: bytes = b"") -> bytes:
    stated = chunk(b"acTL", struct.pack(">II", number, 0))
    return png(LEVELS, before=[stated, first], after=frames)


def test_a_hidden_still_picture_is_replaced_by_the_first_frame_in_its_place() -> None:
    small = LEVELS[:, :2] + 7
    opened = open_png(_animation(frame_control(0, 2, 1, 1), frame_data(1, small), frame_control(2, 4, 1)))
    found = np.asarray(opened.decode(1).picture)
    assert opened.notes == (FIRST_FRAME,)
    assert found[0, :, 3].tolist() == [0, 255, 255, 0]
    assert found[0, 1:3, 0].tolist() == small[0].tolist()
    outside = open_png(_animation(frame_control(0, 2, 1, 3), frame_data(1, small)))
    with pytest.raises(ValueError, match="outside of the picture"):
        outside.decode(1)


def test_a_still_picture_that_is_the_first_frame_is_shown_itself() -> None:
    opened = open_png(_animation(frame_control(1, 4, 1), frame_data(2, LEVELS), first=frame_control(0, 4, 1)))
    assert opened.notes == (FIRST_FRAME,)
    assert np.array_equal(np.asarray(opened.decode(1).picture), LEVELS)
    one = open_png(_animation(number=1, first=frame_control(0, 4, 1)))
    assert one.notes == (), "one frame is no animation"


def test_all_bits_of_samples_are_read() -> None:
    for levels in (DEEP, DEEP[..., :1]):
        opened = open_png(png(levels, 16, before=[gama(100_000)]))
        assert opened.samples is not None
        samples, profile = opened.samples()
        assert np.array_equal(samples, levels)
        assert profile is not None
    assert open_png(png(LEVELS)).samples is None


@pytest.mark.parametrize(
    "content",
    [
        png(DEEP, 16, before=[chunk(b"eXIf", exif(6))]),
        png(DEEP, 16, before=[chunk(b"tRNS", bytes(6))]),
        png(DEEP[..., :2], 16),
    ],
)
def test_samples_that_would_have_to_be_changed_are_refused(content: bytes) -> None:
    opened = open_png(content)
    assert opened.samples is not None
    with pytest.raises(NotSupported, match="16 bits a channel"):
        opened.samples()


def test_a_transparent_colour_is_compared_in_all_16_bits() -> None:
    near = np.array([[[0x1234, 5, 6], [0x1235, 5, 6]]])
    key = chunk(b"tRNS", struct.pack(">3H", 0x1234, 5, 6))
    found = np.asarray(open_png(png(near, 16, RGB, before=[key])).decode(1).picture)
    assert found[0, :, 3].tolist() == [0, 255]


def test_grey_of_16_bits_is_rounded_unless_its_colours_are_converted_later() -> None:
    levels = np.array([[255, 256, 65_535]])
    assert np.asarray(open_png(png(levels, 16)).decode(1).picture).tolist() == [[1, 1, 255]]
    converted = open_png(png(levels, 16, before=[gama(100_000)])).decode(1).picture
    assert np.asarray(converted).tolist() == [[0, 1, 255]], "as in browsers, the high byte"


def test_metadata_does_not_reach_the_picture() -> None:
    buffer = io.BytesIO()
    pictures.colors().save(buffer, "PNG", dpi=(300, 300), exif=Image.Exif())
    assert open_png(buffer.getvalue()).decode(1).picture.info == {}
