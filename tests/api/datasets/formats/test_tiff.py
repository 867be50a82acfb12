"""TIFF of every layout of samples: read as tifffile reads it, or refused in words that name the property."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from support import icc, pictures
from support.reading import read
from support.tiff import tiff

from api.datasets.files import PictureRefused

WIDTH, HEIGHT = 37, 29
RNG = np.random.default_rng(3)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK = 0, 1, 2, 3, 5
ORIENTATION, COLOUR_MAP, EXTRA_SAMPLES, SAMPLE_FORMAT = 274, 320, 338, 339


def _written(samples: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def _random(bits: int, *channels: int) -> np.ndarray:
    return RNG.integers(0, 2**bits, (HEIGHT, WIDTH, *channels)).astype(np.uint8 if bits <= 8 else np.uint16)


def _as_bytes(samples: np.ndarray, bits: int) -> np.ndarray:
    return np.round(samples * 255.0 / (2**bits - 1))


def _check(content: bytes, expected: np.ndarray, mode: str) -> None:
    found = read(content)
    assert found.mode == mode
    assert found.pixels.shape == expected.shape
    assert np.abs(found.pixels - expected).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
def test_grey_of_any_depth_goes_from_black_to_white(order: str, bits: int, photometric: int) -> None:
    samples = _random(bits)
    samples[0, :2] = 0, 2**bits - 1
    content = tiff(samples, bits, photometric, order=order)
    assert np.array_equal(tifffile.imread(io.BytesIO(content)) if bits in (8, 16) else samples, samples)
    levels = _as_bytes(samples, bits)
    _check(content, 255 - levels if photometric == WHITE_IS_ZERO else levels, "L")
    if bits < 16:
        _check(tiff(samples, bits, BLACK_IS_ZERO, order=order, reversed_bits=True), levels, "L")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [4, 8, 10, 12, 14, 16])
def test_colours_of_any_depth_are_read(order: str, bits: int) -> None:
    samples = _random(bits, 3)
    _check(tiff(samples, bits, RGB, order=order), _as_bytes(samples, bits), "RGB")


COMPRESSED = [
    {"compression": "zlib", "predictor": True},
    {"compression": "lzma"},
    {"tile": (16, 32)},
    {"tile": (16, 16), "compression": "zlib", "predictor": True},
    {"rowsperstrip": 7, "bigtiff": True},
]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", COMPRESSED, ids=str)
def test_every_layout_is_read_as_tifffile_reads_it(bits: int, order: str, options: dict[str, Any]) -> None:
    most = 2**bits - 1
    grey, rgb, rgba, grey_alpha, inks = (_random(bits, *channels) for channels in ((), (3,), (4,), (2,), (4,)))
    written = {"byteorder": order, **options}
    _check(_written(grey, photometric="minisblack", **written), _as_bytes(grey, bits), "L")
    _check(_written(grey, photometric="miniswhite", **written), _as_bytes(most - grey, bits), "L")
    _check(_written(rgb, photometric="rgb", **written), _as_bytes(rgb, bits), "RGB")
    planes = np.moveaxis(rgb, -1, 0).copy()
    _check(_written(planes, photometric="rgb", planarconfig="separate", **written), _as_bytes(rgb, bits), "RGB")
    alpha = {"photometric": "rgb", "extrasamples": ["unassalpha"], **written}
    _check(_written(rgba, **alpha), _as_bytes(rgba, bits), "RGBA")
    alpha = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"], **written}
    _check(_written(grey_alpha, **alpha), _as_bytes(grey_alpha, bits), "LA")
    light = 255 - _as_bytes(inks, bits)
    _check(_written(inks, photometric="separated", **written), light[..., :3] * light[..., 3:] / 255, "RGB")


@pytest.mark.parametrize("compression", [1, 32773])
def test_a_predictor_counts_only_where_the_compression_knows_one(compression: int) -> None:
    """As in libtiff; Photoshop and others leave the tag in uncompressed files."""
    samples = _random(8, 3)
    content = tiff(samples, 8, RGB, tags={317: [2]})
    if compression != 1:
        content = pictures.encoded(Image.fromarray(samples), "TIFF", compression="packbits", tiffinfo={317: 2})
    with Image.open(io.BytesIO(content)) as opened:
        assert (opened.tag_v2[317], opened.tag_v2[259]) == (2, compression)  # type: ignore[attr-defined]
        assert np.array_equal(np.asarray(opened), samples)
    _check(content, samples, "RGB")


@pytest.mark.parametrize("bits", [8, 16])
def test_colours_that_were_multiplied_by_alpha_are_divided_again(bits: int) -> None:
    most, rgba = 2**bits - 1, _random(bits, 4).astype(float)
    rgba[..., 3] = np.maximum(rgba[..., 3], most // 8)
    multiplied = rgba.copy()
    multiplied[..., :3] = np.round(rgba[..., :3] * rgba[..., 3:] / most)
    samples = multiplied.astype(np.uint8 if bits == 8 else np.uint16)
    found = read(_written(samples, photometric="rgb", extrasamples=["assocalpha"]))
    expected = _as_bytes(rgba, bits)
    assert np.abs(found.pixels - expected).max() <= (5 if bits == 8 else 1)  # at an eighth of opacity 8 bits are 5
    opaque = expected[..., 3] > 200
    assert np.abs(found.pixels - expected)[opaque].max() <= 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("most", [255, 65535])
def test_a_palette_of_8_or_16_bits_is_applied(bits: int, most: int) -> None:
    indices, colours = _random(bits), RNG.integers(0, most + 1, (3, 2**bits))
    colours[0, 0] = most
    content = tiff(indices, bits, PALETTE, tags={COLOUR_MAP: colours.ravel().tolist()})
    _check(content, np.moveaxis(np.round(colours * 255.0 / most)[:, indices], 0, -1), "RGB")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_is_turned_upright(orientation: int, bits: int) -> None:
    upright = _random(bits)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright[::-1, ::-1].T,
        8: upright.T[:, ::-1],
    }[orientation]
    content = tiff(turned, bits, BLACK_IS_ZERO, tags={ORIENTATION: [orientation]})
    _check(content, _as_bytes(upright, bits), "L")


def test_all_16_bits_are_converted_by_the_profile() -> None:
    levels = np.arange(0, 65536, 61)[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH).astype(np.uint16)
    linear = levels / 65535
    shown = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert len(np.unique(np.round(shown[levels < 1000]))) > 10  # 8 bits would tell 4 apart
    grey, rgb = icc.grey(icc.gamma(1)), icc.matrix(icc.gamma(1))
    _check(_written(levels, photometric="minisblack", iccprofile=grey), shown, "L")
    _check(_written(65535 - levels, photometric="miniswhite", iccprofile=grey), shown, "L")
    colours = np.repeat(levels[..., None], 3, axis=2)
    _check(_written(colours, photometric="rgb", iccprofile=rgb), np.repeat(shown[..., None], 3, axis=2), "RGB")


def test_inks_are_converted_by_their_profile() -> None:
    """Black is not merged into the other inks, as it is in a browser's JPEG."""

    def to_lab(inks: np.ndarray) -> np.ndarray:
        return np.stack([100 * (1 - inks[:, 3]), 0 * inks[:, 0], 0 * inks[:, 0]], axis=1)

    inks = _random(8, 4)
    content = _written(inks, photometric="separated", iccprofile=icc.lut8(b"CMYK", 2, to_lab))
    lightness = 100 * (1 - inks[..., 3] / 255)
    luminance = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    shown = 255 * np.where(luminance <= 0.0031308, 12.92 * luminance, 1.055 * luminance ** (1 / 2.4) - 0.055)
    _check(content, np.repeat(shown[..., None], 3, axis=2), "RGB")


def test_lab_is_converted() -> None:
    original = Image.fromarray(RNG.integers(60, 200, (20, 20, 3), np.uint8))
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(original, srgb, lab, renderingIntent=1, outputMode="LAB")
    assert converted is not None
    difference = np.abs(read(pictures.encoded(converted, "TIFF")).pixels - np.asarray(original, float))
    assert difference.max() <= 4  # a step of L*a*b* in 8 bits
    assert difference.mean() <= 1


@pytest.mark.parametrize("compression", ["jpeg", "group3", "group4", "tiff_lzw", "zstd"])
def test_what_only_libtiff_decodes_is_read(compression: str) -> None:
    picture = pictures.colors(40, 30)
    for mode in ("1",) if compression.startswith("group") else ("L", "RGB", "YCbCr", "CMYK"):
        content = pictures.encoded(picture.convert(mode), "TIFF", compression=compression)
        with Image.open(io.BytesIO(content)) as opened:
            expected = np.asarray(opened.convert("L" if mode in ("1", "L") else "RGB"))
        _check(content, expected.astype(float), "L" if mode in ("1", "L") else "RGB")


def test_of_several_pages_the_first_that_is_no_thumbnail_is_read() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(np.full((2, 2), 50, np.uint8), subfiletype=1)
        writer.write(np.full((5, 5), 100, np.uint8))
        writer.write(np.full((5, 5), 200, np.uint8))
    found = read(buffer.getvalue())
    assert (found.pixels == 100).all()
    assert found.notes == ["only the first of 2 pages is used"]


def test_what_is_left_out_is_noted() -> None:
    channels = _written(_random(8, 5), photometric="rgb", planarconfig="contig", extrasamples=["unspecified"] * 2)
    assert read(channels).notes == ["2 further channels are left out"]


def test_an_orientation_in_xmp_alone_is_ignored() -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>"
    samples = _random(8)
    content = _written(samples, extratags=[(700, 1, len(xmp), xmp, True)])
    assert xmp in content
    _check(content, samples.astype(float), "L")


REFUSED = {
    "floating-point": _written(np.zeros((3, 3), np.float32)),
    "floating-point ": _written(np.zeros((3, 3, 3), np.float16), photometric="rgb"),
    "signed": _written(np.zeros((3, 3), np.int16)),
    "signed ": _written(np.zeros((3, 3), np.int8)),
    "complex": _written(np.zeros((3, 3), np.complex64)),
    "pixels of 32 bits": tiff(np.full((3, 3), 70), 32, BLACK_IS_ZERO),
    "signed  ": pictures.encoded(pictures.in_mode("I"), "TIFF"),
    "pixels of 24 bits": tiff(np.full((3, 3), 70), 24, BLACK_IS_ZERO),
    "32 bits a channel": _written(np.zeros((3, 3, 3), np.uint32), photometric="rgb"),
    "64 bits a channel": _written(np.zeros((3, 3), np.uint64)),
    "a colour filter array": _written(np.zeros((3, 3), np.uint8), photometric="cfa"),
    "linear raw": _written(np.zeros((3, 3, 3), np.uint8), photometric="linear_raw"),
    "different numbers of bits": tiff(np.zeros((3, 3, 3)), 8, RGB, tags={258: [5, 6, 5]}),
    "without a palette": tiff(np.zeros((3, 3)), 8, PALETTE),
    "other inks": tiff(np.zeros((3, 3, 4)), 8, CMYK, tags={332: [2]}),
    "1 channels": tiff(np.zeros((3, 3)), 8, RGB),
    "JPEG 2000": tiff(np.zeros((3, 3)), 8, BLACK_IS_ZERO, tags={259: [34712]}),
    "predictor 3": tiff(np.zeros((3, 3)), 16, BLACK_IS_ZERO, tags={259: [8], 317: [3]}),
    "subsampled": tiff(np.zeros((4, 4, 3)), 8, 6),
    "DNG": _written(np.zeros((3, 3), np.uint8), extratags=[(50706, 1, 4, b"\1\4\0\0", True)]),
    "the photometric interpretation 77": tiff(np.zeros((3, 3)), 8, 77),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_read_right_is_refused_by_its_property(words: str) -> None:
    with pytest.raises(PictureRefused, match=words.strip()) as refused:
        read(REFUSED[words])
    assert refused.value.status == 422
    assert "broken" not in refused.value.reason


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
def test_a_truncated_tiff_is_broken(options: dict[str, Any]) -> None:
    content = bytearray(_written(_random(16), **options))
    del content[-200:]
    with pytest.raises(PictureRefused, match="broken"):
        read(bytes(content))


def test_missing_strips_are_not_taken_for_black() -> None:
    content = bytearray(_written(_random(8), rowsperstrip=7))
    with tifffile.TiffFile(io.BytesIO(content)) as opened:
        tags = opened.pages[0].tags  # type: ignore[union-attr]
        for name in ("StripOffsets", "StripByteCounts"):
            struct.pack_into("<I", content, tags[name].offset + 4, tags[name].count - 1)
    with pytest.raises(PictureRefused, match="parts of it are missing"):
        read(bytes(content))
