"""AVIF and HEIC, which phones make. Browsers show no HEIC; what they show of AVIF tests test_as_in_browsers.py."""

import io
import struct
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from support import icc, pictures
from support.avif import stated_in_the_data_only
from support.png import exif
from support.reading import read

from api.datasets.files import PictureRefused

RNG = np.random.default_rng(5)
SMOOTH = Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8)).resize((70, 52), Image.Resampling.BICUBIC)
LOSSLESS = -1


def _heic(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    heif = pillow_heif.from_pillow(picture)
    for later in options.pop("later", ()):
        heif.add_from_pillow(later)
    heif.save(buffer, **{"quality": LOSSLESS, "subsampling": "4:4:4", **options})
    return buffer.getvalue()


def _by_libheif(content: bytes) -> np.ndarray:
    return np.asarray(pillow_heif.open_heif(io.BytesIO(content)).to_pillow())


def _transparent(mode: str) -> Image.Image:
    picture = SMOOTH.convert(mode)
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


@pytest.mark.parametrize("picture", [SMOOTH, SMOOTH.convert("L"), _transparent("RGB")], ids=["RGB", "L", "RGBA"])
def test_a_heic_is_read_as_libheif_reads_it(picture: Image.Image) -> None:
    content = _heic(picture)
    found = read(content)
    assert found.mode == picture.mode
    assert np.abs(found.pixels.astype(int) - _by_libheif(content)).max() <= 1
    assert np.abs(found.pixels.astype(int) - np.asarray(picture)).max() <= 3
    assert found.notes == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_turned_upright_once(orientation: int) -> None:
    """Its own property turns it; its EXIF says so a second time."""
    content = _heic(SMOOTH, exif=exif(orientation))
    expected = _by_libheif(content)
    assert expected.shape[:2] == ((70, 52) if orientation > 4 else (52, 70))
    assert np.abs(read(content).pixels.astype(int) - expected).max() <= 1


def test_10_bits_become_the_nearest_of_8() -> None:
    levels = np.repeat(np.arange(0, 65536, 64, np.uint16).reshape(32, 32, 1), 3, axis=2)
    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (32, 32), levels.tobytes()).save(buffer, quality=LOSSLESS)
    content = buffer.getvalue()
    assert pillow_heif.open_heif(io.BytesIO(content)).info["bit_depth"] == 10
    ten = np.asarray(pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False))
    assert np.abs(read(content).pixels - ten / 257.0).max() <= 1
    assert len(np.unique(read(content).pixels)) == 256


def test_colours_of_a_heic_are_converted_by_its_profile_or_its_code_points() -> None:
    """Phones state Display P3 in either way."""
    raw = np.asarray(SMOOTH).astype(int)
    profile = icc.matrix(icc.SRGB_CURVE, icc.P3)
    by_profile = read(_heic(SMOOTH, icc_profile=profile)).pixels.astype(int)
    expected = read(pictures.encoded(SMOOTH, "PNG", icc_profile=profile)).pixels
    assert np.abs(by_profile - expected).mean() < 1 < 5 < np.abs(by_profile - raw).mean()
    content = bytearray(_heic(SMOOTH))
    struct.pack_into(">HH", content, content.find(b"colrnclx") + 8, 12, 13)
    assert np.abs(read(bytes(content)).pixels.astype(int) - by_profile).mean() < 1


@pytest.mark.parametrize("encoder", [{}, {"scaling-list": "default"}, {"sar": "16:11", "overscan": "show"}])
@pytest.mark.parametrize("chroma", ["4:2:0", "4:4:4"])
def test_colours_of_a_heic_that_only_its_hevc_data_states_are_converted(encoder: dict[str, str], chroma: str) -> None:
    """The options change what stands before the colours in the data."""
    options = {"subsampling": chroma, "enc_params": {f"x265:{name}": value for name, value in encoder.items()}}

    def stated(primaries: int, transfer: int) -> bytes:
        return _heic(SMOOTH, color_primaries=primaries, transfer_characteristics=transfer, **options)

    in_box, plain = read(stated(12, 13)), read(stated(1, 13))
    in_data = read(stated(12, 13).replace(b"colrnclx", b"skipnclx"))
    assert np.array_equal(in_data.pixels, in_box.pixels)
    assert np.abs(in_data.pixels.astype(int) - plain.pixels).max() > 5
    with pytest.raises(PictureRefused, match=r"high dynamic range \(PQ\)"):
        read(stated(9, 16).replace(b"colrnclx", b"skipnclx"))


@pytest.mark.parametrize(("transfer", "words"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("format_", ["AVIF", "HEIC"])
def test_high_dynamic_range_is_refused(format_: str, transfer: int, words: str) -> None:
    content = bytearray(_heic(SMOOTH) if format_ == "HEIC" else pictures.encoded(SMOOTH, "AVIF"))
    struct.pack_into(">HH", content, content.find(b"colrnclx") + 8, 9, transfer)
    with pytest.raises(PictureRefused, match=rf"high dynamic range \({words}\)") as refused:
        read(bytes(content))
    assert refused.value.status == 422


@pytest.mark.parametrize("animated", [False, True])
def test_colours_of_an_avif_that_only_its_av1_data_states_are_converted(animated: bool) -> None:
    """The sequence header of a still picture is shorter than that of a film."""
    options = {"save_all": True, "append_images": [SMOOTH.rotate(90)]} if animated else {}
    content = pictures.encoded(SMOOTH, "AVIF", quality=100, subsampling="4:4:4", **options)
    stated = bytearray(content)
    struct.pack_into(">HH", stated, content.find(b"colrnclx") + 8, 12, 13)
    in_box, in_data = read(bytes(stated)), read(stated_in_the_data_only(content, 12, 13))
    assert np.array_equal(in_data.pixels, in_box.pixels)
    assert np.abs(in_data.pixels.astype(int) - read(content).pixels).max() > 5
    with pytest.raises(PictureRefused, match=r"high dynamic range \(PQ\)"):
        read(stated_in_the_data_only(content, 9, 16))


@pytest.mark.parametrize(("transfer", "matrix", "words"), [(9, 6, "transfer function 9"), (13, 10, "coefficients 10")])
def test_avif_whose_code_points_have_no_meaning_is_refused(transfer: int, matrix: int, words: str) -> None:
    content = bytearray(pictures.encoded(SMOOTH, "AVIF"))
    struct.pack_into(">HHH", content, content.find(b"colrnclx") + 8, 1, transfer, matrix)
    with pytest.raises(PictureRefused, match=words):
        read(bytes(content))


def test_of_several_pictures_in_a_heic_the_main_one_is_read() -> None:
    content = _heic(SMOOTH, later=[Image.new("RGB", (9, 9)), Image.new("RGB", (9, 9))])
    found = read(content)
    assert found.pixels.shape == (52, 70, 3)
    assert found.notes == ["only the main one of 3 pictures is used"]


def test_of_an_animated_avif_the_first_frame_is_read() -> None:
    later = [Image.new("RGB", SMOOTH.size)]
    found = read(pictures.encoded(SMOOTH, "AVIF", quality=100, save_all=True, append_images=later))
    assert np.abs(found.pixels.astype(int) - np.asarray(SMOOTH)).mean() < 3
    assert found.notes == ["an animation: only its first frame is used"]


@pytest.mark.parametrize("format_", ["AVIF", "HEIC"])
def test_rubbish_in_the_exif_is_ignored(format_: str) -> None:
    """The turn that the picture's own property states still counts."""
    options = {"exif": exif(6) + bytes(40)}
    content = _heic(SMOOTH, **options) if format_ == "HEIC" else pictures.encoded(SMOOTH, "AVIF", **options)
    assert content.count(exif(6)[:14]) == 1 or format_ == "AVIF"
    at = content.find(b"II*\0")
    damaged = content[:at] + b"b'MM\\x00*" + b"\xff" * 12 + content[at + 20 :] if at >= 0 else content
    assert read(damaged).pixels.shape == (70, 52, 3)
