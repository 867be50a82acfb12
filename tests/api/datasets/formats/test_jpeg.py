"""JPEG: scaled while it is decoded, in little memory."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import pictures
from support.reading import read

from api.datasets.formats.jpeg import _coefficient_bytes, _joined, open_jpeg
from api.datasets.formats.opened import NotSupported, NotThisFormat


@pytest.mark.parametrize("factor", range(2, 13))
@pytest.mark.parametrize("size", [(301, 200), (200, 301), (300, 26)])
def test_a_jpeg_never_keeps_more_pixels_than_allowed(size: tuple[int, int], factor: int) -> None:
    """Its decoder scales by 2, 4 or 8, and the rest is left to the reader."""
    most = -(-size[0] // factor) * -(-size[1] // factor)
    found = read(pictures.encoded(pictures.colors(*size), "JPEG", quality=95), max_stored_pixels=most)
    height, width = found.pixels.shape[:2]
    assert most / 2 < width * height <= most
    by = {5: 6, 7: 8, 9: 12, 10: 12, 11: 12}.get(factor, factor)
    assert (width, height) == (-(-size[0] // by), -(-size[1] // by))
    expected = np.asarray(pictures.colors(*size).reduce(by)).astype(int)
    assert np.abs(found.pixels.astype(int) - expected).mean() < 2


MEASURED = """
import resource, sys
from support.reading import read

from api.datasets.formats.jpeg import _coefficient_bytes, _joined, open_jpeg
from api.datasets.formats.opened import NotSupported, NotThisFormat
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
found = read(open(sys.argv[1], "rb").read())
print(found.pixels.shape, found.notes)
"""


def test_a_jpeg_of_108_megapixels_is_decoded_in_little_memory(tmp_path: Path) -> None:
    """As a phone makes it; its pixels would fill 324 MB, and as many again to convert them."""
    path = tmp_path / "108.jpg"
    Image.linear_gradient("L").resize((12_000, 9_000), Image.Resampling.NEAREST).convert("YCbCr").save(path, quality=50)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", MEASURED, str(path), str(512 << 20)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(4500, 6000, 3) ['scaled down from 12000 x 9000 to 6000 x 4500 pixels']\n"


def test_a_progressive_jpeg_for_which_memory_is_short_is_not_called_broken(tmp_path: Path) -> None:
    path = tmp_path / "progressive.jpg"
    Image.new("RGB", (5_000, 5_000)).save(path, quality=50, progressive=True, subsampling=0)  # 150 MB of coefficients
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", MEASURED, str(path), str(384 << 20)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stderr.splitlines()[-1].split(":")[0].endswith("MemoryError"), done.stderr
    assert "broken" not in done.stderr


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def _frame(marker: int = 0xC0, bits: int = 8, channels: int = 3) -> bytes:
    return _segment(marker, struct.pack(">BHHB", bits, 20, 30, channels) + b"\1\x22\0" * channels)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (_frame(0xC3), "lossless JPEG"),
        (_frame(0xC6), "hierarchical JPEG"),
        (_frame(bits=12), "12 bits a channel; save it with 8"),
        (_frame(channels=2), "2 channels"),
    ],
)
def test_a_kind_of_jpeg_that_is_not_read_is_named(frame: bytes, said: str) -> None:
    with pytest.raises(NotSupported, match=said):
        open_jpeg(b"\xff\xd8" + frame)


def test_segments_are_found_behind_filler_and_markers_without_content() -> None:
    opened = open_jpeg(b"\xff\xd8" + b"\xff\xff\xff" + b"\xff\x01" + b"\xff\xd0" + _segment(0xFE, b"x") + _frame())
    assert (opened.width, opened.height) == (30, 20)
    for other in (b"\xff\xd8", b"\xff\xd8" + _segment(0xDA, b"") + _frame(), b"\xff\xd8" + _segment(0xC0, b"\x08")):
        with pytest.raises(NotThisFormat):
            open_jpeg(other)


@pytest.mark.parametrize(
    ("parts", "profile"),
    [
        ([], None),
        ([b"\1\1abc"], b"abc"),
        ([b"\2\2def", b"\1\2abc"], b"abcdef"),
        ([b"\1\2abc"], None),
        ([b"\1\2abc", b"\1\2abc", b"\2\2def"], None),
        ([b"\1\2abc", b"\2\3def"], None),
        ([b"\0\1abc"], None),
        ([b"\1\1abc", b"\2\2def"], b"abc"),
    ],
)
def test_the_parts_of_a_profile_are_joined_in_their_order_or_not_at_all(
    parts: list[bytes], profile: bytes | None
) -> None:
    assert _joined(parts) == profile


def test_the_first_picture_of_several_is_read_and_the_others_are_counted() -> None:
    content = pictures.encoded(pictures.colors(), "MPO", save_all=True, append_images=[pictures.colors(5, 5)])
    opened = open_jpeg(content)
    assert (opened.width, opened.height, opened.notes) == (12, 7, ("only the first of 2 pictures is used",))


def test_a_profile_of_other_channels_than_inks_is_not_used_for_inks() -> None:
    inks = pictures.encoded(pictures.colors().convert("CMYK"), "JPEG", icc_profile=pictures.swapped_profile())
    assert open_jpeg(inks).decode(1).profile is None
    rgb = pictures.encoded(pictures.colors(), "JPEG", icc_profile=pictures.swapped_profile())
    assert open_jpeg(rgb).decode(1).profile is not None


def test_the_coefficients_of_a_progressive_picture_count_by_their_blocks() -> None:
    """30 x 20 pixels in blocks of 8, and one more in each direction; two channels at half of each side."""
    frame = _frame(0xC2)[4:]
    halved = frame[:7] + b"\x22\0\2\x11\0\3\x11\0"
    full, half = 5 * 4, 3 * 3
    assert _coefficient_bytes(frame) == 3 * full * 128
    assert _coefficient_bytes(halved) == (full + 2 * half) * 128
