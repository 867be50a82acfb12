"""What is stored is what Chromium shows on an sRGB canvas: depths, profiles, chunks, transparency, orientation."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser
from support import canvas, icc, pictures
from support import png as png_file
from support.avif import stated_in_the_data_only
from support.bmp import bmp, rows
from support.icc import gamma, matrix, table
from support.png import chrm, chunk, cicp, exif, frame_control, frame_data, gama, iccp, png, srgb
from support.reading import read

PNG, JPEG, WEBP, GIF, BMP, AVIF = (f"image/{name}" for name in ("png", "jpeg", "webp", "gif", "bmp", "avif"))
RNG = np.random.default_rng(0)
RAMP = np.arange(0, 256, 5)[None]
COLOURS = np.array([[[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50], [10, 20, 30], [128] * 3]])
SIXTEEN = np.repeat(np.array([[0, 100, 300, 5000, 20_000, 40_000, 65_535]])[..., None], 3, axis=2)
CORNERS = np.array([[0, 16, 64], [128, 200, 255]])
SMOOTH = Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8)).resize((37, 25), Image.Resampling.BICUBIC)
SWAPPED = matrix(icc.SRGB_CURVE, icc.SWAPPED)


def _cubic(levels: np.ndarray) -> np.ndarray:
    """A colour space of neither curves nor a matrix: L*a*b* in 0..1 -> (N, 3)."""
    red, green, blue = levels.T
    return np.stack([100 * (red + green + blue) / 3, 120 * (red - green), 120 * (green * green - blue)], axis=1)


def _inks(levels: np.ndarray) -> np.ndarray:
    light = (1 - levels[:, :3]) * (1 - levels[:, 3:]) ** 1.3
    return np.stack(
        [100 * light.mean(axis=1), 60 * (light[:, 0] - light[:, 1]), 60 * (light[:, 1] - light[:, 2])], axis=1
    )


PROFILES = {
    "gamma 1": matrix(gamma(1)),
    "gamma 1.8 P3": matrix(gamma(1.8), icc.P3),
    "a table": matrix(table([0, 2000, 10_000, 30_000, 65_535])),
    "a table of 4096": matrix(table(np.linspace(0, 1, 4096) ** 2 * 65535)),
    "parametric": matrix(icc.SRGB_CURVE, icc.P3),
    "parametric 4": matrix(icc.parametric(4, 2.4, 0.9, 0.1, 0.1, 0.04, 0.02, 0.01)),
    "three curves": matrix([gamma(1), gamma(2.2), gamma(1.8)]),
    "swapped": SWAPPED,
    "lut8": icc.lut8(b"RGB ", 9, _cubic),
    "mAB": icc.m_ab(5, lambda levels: levels**1.8 @ np.array(icc.SRGB)),
    "code points": matrix(gamma(1.8), cicp=icc.cicp(12, 13)),
    "code points of Rec. 709": matrix(gamma(1.8), cicp=icc.cicp(12, 1)),
    "grey": icc.grey(gamma(1)),
    "version 5": b"".join([(plain := matrix(gamma(1)))[:8], b"\5", plain[9:]]),
    "truncated": matrix(gamma(1))[:-9],
    "without matrix": icc.profile(b"RGB ", b"XYZ ", rTRC=gamma(1), gTRC=gamma(1), bTRC=gamma(1)),
    "rubbish": b"no profile at all" * 20,
}
CHUNKS = {
    "nothing": [],
    **{
        f"gAMA {value}": [gama(value)]
        for value in (0, 22_222, 43_000, 44_000, 45_455, 47_000, 48_000, 100_000, 2**32 - 1)
    },
    "cHRM alone": [chrm(*png_file.P3_XY)],
    "gAMA of sRGB, cHRM of P3": [gama(45_455), chrm(*png_file.P3_XY)],
    "gAMA and cHRM of sRGB": [gama(45_455), chrm(*png_file.SRGB_XY)],
    "gAMA 1, cHRM of P3": [gama(100_000), chrm(*png_file.P3_XY)],
    "a white of D50": [gama(45_455), chrm(0.3457, 0.3585, *png_file.SRGB_XY[2:])],
    "cHRM of zeros": [gama(100_000), chrm(*[0] * 8)],
    "cHRM of one point": [gama(100_000), chrm(0.3127, 0.329, *[0.3] * 6)],
    "sRGB before gAMA": [srgb(), gama(100_000)],
    "sRGB after gAMA and cHRM": [gama(100_000), srgb(), chrm(*png_file.P3_XY)],
    "sRGB of no intent": [srgb(9), gama(100_000)],
    "iCCP before gAMA": [iccp(SWAPPED), gama(100_000)],
    "iCCP after sRGB": [srgb(), iccp(SWAPPED)],
    "two iCCP": [iccp(matrix(icc.SRGB_CURVE)), iccp(SWAPPED)],
    "two gAMA": [gama(45_455), gama(100_000)],
    "iCCP of rubbish, then gAMA": [iccp(b"rubbish" * 30), gama(100_000)],
    "iCCP that does not inflate, then gAMA": [chunk(b"iCCP", b"p\0\0rubbish"), gama(100_000)],
    "iCCP of another method": [chunk(b"iCCP", iccp(SWAPPED)[8:-4].replace(b"\0\0", b"\0\1", 1))],
    "iCCP of grey, then gAMA": [iccp(icc.grey(gamma(1))), gama(100_000)],
    "iCCP of CMYK, then gAMA": [iccp(icc.lut8(b"CMYK", 2, _inks)), gama(100_000)],
    "gAMA with a wrong checksum": [chunk(b"gAMA", struct.pack(">I", 100_000), checksum=5)],
    "gAMA too short": [chunk(b"gAMA", b"\0\1\2")],
    "gAMA too long": [chunk(b"gAMA", struct.pack(">I", 100_000) + b"a")],
    **{f"cICP {primaries}, 13": [cicp(primaries, 13)] for primaries in (0, 2, 4, 5, 6, 8, 9, 10, 11, 12, 22, 23)},
    **{f"cICP 1, {transfer}": [cicp(1, transfer)] for transfer in (0, 1, 2, 4, 5, 7, 8, 9, 11, 14, 17, 19)},
    "cICP over iCCP and sRGB": [iccp(SWAPPED), cicp(12, 13), srgb()],
    "cICP without a meaning, then iCCP": [cicp(2, 2), iccp(SWAPPED)],
    "cICP without a transfer, then gAMA": [cicp(12, 2), gama(100_000)],
    "cICP of the narrow range, then gAMA": [cicp(12, 13, full_range=0), gama(100_000)],
    "cICP with a wrong checksum": [chunk(b"cICP", b"\x0c\x0d\0\1", checksum=5)],
}
PALETTE = bytes([0, 0, 0, 16, 16, 16, 64, 64, 64, 128, 128, 128, 200, 100, 50, 255, 255, 255])
INDICES = np.arange(6)[None]


def _alpha(content: bytes) -> bytes:
    return chunk(b"tRNS", content)


TRANSPARENT = {
    "grey of 1 bit": png([[0, 1]], 1, before=[_alpha(b"\0\1")]),
    "grey of 2 bits": png([[0, 1, 2, 3]], 2, before=[_alpha(b"\0\1")]),
    "grey of 2 bits, beyond": png([[0, 1, 2, 3]], 2, before=[_alpha(b"\0\5")]),
    "grey of 4 bits": png([[0, 7, 8]], 4, before=[_alpha(b"\0\7")]),
    "grey of 8 bits": png(RAMP, before=[_alpha(b"\1\x0a")]),
    "grey of 8 bits, too long": png(RAMP, before=[_alpha(b"\0\x0a\0")]),
    "grey of 8 bits with gAMA": png(RAMP, before=[gama(100_000), _alpha(b"\0\x0a")]),
    "grey of 16 bits": png([[0, 4096, 4097, 4112]], 16, before=[_alpha(b"\x10\1")]),
    "RGB": png(COLOURS, before=[_alpha(struct.pack(">3H", 200, 100, 50))]),
    "RGB, too short": png(COLOURS, before=[_alpha(b"\0\0")]),
    "RGB of 16 bits": png(SIXTEEN, 16, before=[_alpha(struct.pack(">H", 300) * 3)]),
    "RGB of 16 bits, interlaced": png(SIXTEEN, 16, before=[_alpha(struct.pack(">H", 300) * 3)], interlaced=True),
    "RGB, wrong checksum": png(COLOURS, before=[chunk(b"tRNS", struct.pack(">3H", 200, 100, 50), checksum=5)]),
    "indexed": png(INDICES, 8, 3, palette=PALETTE, between=[_alpha(bytes([255, 128, 0]))]),
    "indexed, one": png(INDICES, 8, 3, palette=PALETTE, between=[_alpha(bytes([255, 255, 0]))]),
    "indexed, before the palette": png(INDICES, 8, 3, palette=PALETTE, before=[_alpha(bytes([255, 128, 0]))]),
    "grey and alpha": png(np.array([[[10, 255], [20, 128], [30, 0]]]), before=[_alpha(b"\0\x0a")]),
}
ORIENTED = {
    **{f"{orientation}": [chunk(b"eXIf", exif(orientation))] for orientation in range(10)},
    "big-endian": [chunk(b"eXIf", exif(6, ">"))],
    "LONG": [chunk(b"eXIf", exif(6, kind=4))],
    "rubbish": [chunk(b"eXIf", b"b'MM\\x00*'")],
    "truncated": [chunk(b"eXIf", exif(6)[:-6])],
    "after Exif": [chunk(b"eXIf", b"Exif\0\0" + exif(6))],
    "a wrong checksum": [chunk(b"eXIf", exif(6), checksum=5)],
    "two": [chunk(b"eXIf", exif(6)), chunk(b"eXIf", exif(8))],
}
XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='6'/></rdf:RDF></x:xmpmeta>"
)


def _first(content: bytes, *segments: bytes, marker: bytes = b"\xff\xe1") -> bytes:
    """Return a JPEG with these segments, of APP1 unless another marker is given, before its others."""
    extra = b"".join(marker + struct.pack(">H", len(one) + 2) + one for one in segments)
    return content[:2] + extra + content[2:]


def _jpegs() -> dict[str, bytes]:
    plain = pictures.encoded(Image.fromarray(CORNERS.astype(np.uint8).repeat(8, 0).repeat(8, 1)), "JPEG", quality=95)
    marked = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    found = {f"EXIF {turn}": _first(plain, b"Exif\0\0" + exif(turn)) for turn in range(1, 9)}
    found |= {
        "EXIF of rubbish, then 6": _first(plain, b"Exif\0\0rubbish", b"Exif\0\0" + exif(6)),
        "EXIF 6, then 3": _first(plain, b"Exif\0\0" + exif(6), b"Exif\0\0" + exif(3)),
        "EXIF of LONG": _first(plain, b"Exif\0\0" + exif(6, kind=4)),
        "XMP 6": _first(plain, marked),
        "EXIF 3, XMP 6": _first(plain, marked, b"Exif\0\0" + exif(3)),
    }
    inks = Image.fromarray(RNG.integers(0, 256, (8, 8, 4), np.uint8), "CMYK").resize((37, 25), Image.Resampling.BICUBIC)
    profiles = {"nothing": None, "inks": icc.lut8(b"CMYK", 5, _inks), "RGB": SWAPPED, "grey": PROFILES["grey"]}
    for name, profile in profiles.items():
        found[f"CMYK by {name}"] = pictures.encoded(inks, "JPEG", quality=95, icc_profile=profile)
    parts = [PROFILES["gamma 1"][:200], PROFILES["gamma 1"][200:]]
    two = [b"ICC_PROFILE\0" + bytes([number, 2]) + part for number, part in enumerate(parts, 1)]
    for name, order in {"in order": [0, 1], "out of order": [1, 0], "one missing": [0], "one twice": [0, 0, 1]}.items():
        found[f"a profile in parts, {name}"] = _first(plain, *(two[index] for index in order), marker=b"\xff\xe2")
    found["progressive, subsampled"] = pictures.encoded(SMOOTH, "JPEG", progressive=True, subsampling=2)
    return found


def _bmps() -> dict[str, bytes]:
    colours = RNG.integers(0, 256, (5, 7, 4), np.uint8)
    levels, indices = RNG.integers(0, 65536, (5, 7)), np.arange(35).reshape(5, 7)
    palette = RNG.integers(0, 256, (256, 4), np.uint8).tobytes()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    found = {
        f"{bits} bits": bmp(7, 5, bits, rows(indices % 2**bits, bits), palette=palette[: 4 * 2**bits])
        for bits in (1, 2, 4, 8)
    }
    found |= {f"header of {size}": bmp(7, 5, 32, rows(colours, 32), header=size) for size in (40, 52, 56, 108, 124)}
    return found | {
        "24 bits": bmp(7, 5, 24, rows(colours[..., :3], 24)),
        "alpha": bmp(7, 5, 32, rows(colours, 32), header=56, compression=3, masks=masks),
        "alpha, not bit fields": bmp(7, 5, 32, rows(colours, 32), header=108, masks=masks),
        "alpha of zeros": bmp(7, 5, 32, rows(colours & [255, 255, 255, 0], 32), header=56, compression=3, masks=masks),
        "other order": bmp(
            7, 5, 32, rows(colours, 32), header=56, compression=3, masks=(0xFF00, 0xFF0000, 0xFF000000, 0xFF)
        ),
        "10 bits": bmp(
            7, 5, 32, rows(colours, 32), header=56, compression=3, masks=(0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000)
        ),
        "555": bmp(7, 5, 16, rows(levels, 16)),
        "565": bmp(7, 5, 16, rows(levels, 16), compression=3, masks=(0xF800, 0x7E0, 0x1F)),
        "1555": bmp(7, 5, 16, rows(levels, 16), header=56, compression=3, masks=(0x7C00, 0x3E0, 0x1F, 0x8000)),
        "4444": bmp(7, 5, 16, rows(levels, 16), header=56, compression=3, masks=(0xF00, 0xF0, 0xF, 0xF000)),
        "RLE8": bmp(7, 5, 8, b"\3\1\4\2\0\0" * 5 + b"\0\1", compression=1, palette=palette),
        "from the top down": bmp(7, -5, 24, rows(colours[..., :3], 24)),
        "RLE8 from the top down": bmp(7, -5, 8, b"\3\1\4\2\0\0\7\3\0\1", compression=1, palette=palette),
        "RLE8 with a jump": bmp(7, 5, 8, b"\3\1\0\2\2\1\2\4\0\0\0\1", compression=1, palette=palette),
        "RLE8 with short rows": bmp(7, 5, 8, b"\3\1\0\0\7\2\0\0\0\1", compression=1, palette=palette),
        "RLE4": bmp(7, 5, 4, b"\3\x12\4\x34\0\0\0\7\x12\x34\x56\x70\0\0\0\1", compression=2, palette=palette[:64]),
        "a profile": bmp(7, 5, 24, rows(colours[..., :3], 24), header=124, profile=PROFILES["gamma 1"]),
    }


def _gif(left: int, top: int, *, clear: int | None = None, frames: int = 1) -> bytes:
    """Return a GIF of 6 x 6 pixels whose frames of 4 x 4 begin at (left, top)."""
    palette = bytes([10, 20, 30, 200, 100, 50, 0, 255, 0, 255, 255, 255])
    codes = [256, *[0, 1, 2, 3] * 4, 257]
    packed = sum(code << 9 * place for place, code in enumerate(codes)).to_bytes(21, "little")
    control = b"" if clear is None else b"\x21\xf9\4\1\0\0" + bytes([clear, 0])
    frame = control + b"," + struct.pack("<4HB", left, top, 4, 4, 0) + b"\x08" + bytes([len(packed)]) + packed + b"\0"
    return b"GIF89a" + struct.pack("<HHBBB", 6, 6, 0xF7, 1, 0) + palette.ljust(768, b"\0") + frame * frames + b";"


def _animation(first: list[bytes], *frames: bytes) -> bytes:
    return png(CORNERS, before=[gama(100_000), chunk(b"acTL", struct.pack(">II", 2, 0)), *first], after=frames)


def _avif(primaries: int = 1, transfer: int = 13, matrix_: int = 6, **options: object) -> bytes:
    strip = COLOURS.astype(np.uint8).repeat(8, 0).repeat(8, 1)
    content = bytearray(pictures.encoded(Image.fromarray(strip), "AVIF", quality=100, subsampling="4:4:4", **options))
    if (at := content.find(b"colrnclx")) >= 0:
        struct.pack_into(">HHH", content, at + 8, primaries, transfer, matrix_)
    return bytes(content)


ALPHA = SMOOTH.copy()
ALPHA.putalpha(Image.linear_gradient("L").resize(ALPHA.size))
READABLE_AS_GREY = [name for name in PROFILES if name not in ("lut8", "mAB")]

CASES: dict[str, tuple[str, bytes]] = {
    **{f"PNG: {name}": (PNG, png(COLOURS, before=chunks)) for name, chunks in CHUNKS.items()},
    **{f"PNG by {name}": (PNG, png(COLOURS, before=[iccp(profile)])) for name, profile in PROFILES.items()},
    **{f"grey PNG by {name}": (PNG, png(RAMP, before=[iccp(PROFILES[name])])) for name in READABLE_AS_GREY},
    **{f"PNG, transparent: {name}": (PNG, content) for name, content in TRANSPARENT.items()},
    **{f"PNG, EXIF: {name}": (PNG, png(CORNERS, before=chunks)) for name, chunks in ORIENTED.items()},
    "PNG, EXIF after the pixels": (PNG, png(CORNERS, after=[chunk(b"eXIf", exif(6))])),
    "PNG, gAMA after the pixels": (PNG, png(COLOURS, after=[gama(100_000)])),
    "PNG, XMP": (PNG, png(CORNERS, before=[chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP)])),
    **{f"PNG of {bits} bits": (PNG, png([range(2**bits)], bits, before=[gama(100_000)])) for bits in (1, 2, 4)},
    **{
        f"PNG of 16 bits, {name}{' with gAMA' if chunks else ''}": (PNG, png(levels, 16, before=chunks))
        for name, levels in {
            "grey": SIXTEEN[..., :1],
            "grey and alpha": np.concatenate([SIXTEEN[..., :1], SIXTEEN[..., :1] // 2 + 30_000], axis=2),
            "RGB": SIXTEEN,
            "RGBA": np.concatenate([SIXTEEN, SIXTEEN[..., :1] // 2 + 30_000], axis=2),
        }.items()
        for chunks in ([], [gama(100_000)])
    },
    "PNG, indexed, gAMA": (PNG, png(INDICES, 8, 3, palette=PALETTE, between=[gama(100_000)])),
    "PNG, indexed, iCCP": (PNG, png(INDICES, 8, 3, palette=PALETTE, between=[iccp(SWAPPED)])),
    "PNG, indexed, cICP": (PNG, png(INDICES, 8, 3, palette=PALETTE, before=[cicp(12, 8)])),
    "PNG, indexed, cICP after the palette": (PNG, png(INDICES, 8, 3, palette=PALETTE, between=[cicp(12, 8)])),
    "PNG, indexed, 4 bits, interlaced": (PNG, png(INDICES, 4, 3, palette=PALETTE, interlaced=True)),
    "PNG, animated": (PNG, _animation([frame_control(0, 3, 2)], frame_control(1, 3, 2), frame_data(2, 255 - CORNERS))),
    "PNG, animated, another still picture": (
        PNG,
        _animation(
            [], frame_control(0, 3, 2), frame_data(1, 255 - CORNERS), frame_control(2, 3, 2), frame_data(3, CORNERS)
        ),
    ),
    "PNG, animated, smaller first frame": (
        PNG,
        _animation(
            [],
            frame_control(0, 2, 1, 1, 1),
            frame_data(1, CORNERS[:1, 1:]),
            frame_control(2, 3, 2),
            frame_data(3, CORNERS),
        ),
    ),
    **{
        f"{kind[6:]} by {name}": (kind, pictures.encoded(SMOOTH, kind[6:], icc_profile=profile, **options))
        for name, profile in PROFILES.items()
        for kind, options in ((JPEG, {}), (WEBP, {"lossless": True}))
    },
    "jpeg of grey by grey": (JPEG, pictures.encoded(SMOOTH.convert("L"), "JPEG", icc_profile=PROFILES["grey"])),
    **{f"jpeg, {name}": (JPEG, content) for name, content in _jpegs().items()},
    **{f"bmp, {name}": (BMP, content) for name, content in _bmps().items()},
    "webp, lossy": (WEBP, pictures.encoded(SMOOTH, "WEBP")),
    "webp, alpha": (WEBP, pictures.encoded(ALPHA, "WEBP", icc_profile=PROFILES["gamma 1"])),
    "webp, EXIF 6": (WEBP, pictures.encoded(SMOOTH, "WEBP", lossless=True, exif=exif(6))),
    "webp, animated": (WEBP, pictures.encoded(SMOOTH, "WEBP", lossless=True, save_all=True, append_images=[ALPHA])),
    "gif": (GIF, pictures.encoded(SMOOTH, "GIF")),
    "gif, the frame is smaller": (GIF, _gif(1, 2)),
    "gif, the frame is smaller and transparent": (GIF, _gif(1, 2, clear=1)),
    "gif, animated": (GIF, _gif(2, 1, frames=3)),
    **{f"avif {code}": (AVIF, _avif(transfer=code)) for code in (0, 1, 2, 4, 5, 6, 7, 8, 13, 14, 17)},
    **{f"avif of primaries {code}": (AVIF, _avif(code)) for code in (2, 5, 6, 9, 10, 11, 12, 22)},
    **{f"avif of matrix {code}": (AVIF, _avif(matrix_=code)) for code in (0, 1, 2, 4, 5, 7, 9)},
    **{
        f"avif whose data states {codes}": (AVIF, stated_in_the_data_only(_avif(), *codes))
        for codes in ((12, 13), (1, 8), (9, 1))
    },
    "avif by gamma 1": (AVIF, _avif(icc_profile=PROFILES["gamma 1"])),
    "avif of grey by grey": (AVIF, pictures.encoded(SMOOTH.convert("L"), "AVIF", icc_profile=PROFILES["grey"])),
    **{f"avif, turned {turn}": (AVIF, _avif(exif=exif(turn))) for turn in range(1, 9)},
    "avif, opaque alpha": (AVIF, pictures.encoded(SMOOTH.convert("RGBA"), "AVIF")),
}


@pytest.fixture(scope="module")
def shown(chromium: Browser) -> dict[str, np.ndarray]:
    return canvas.shown(chromium, CASES)


@pytest.mark.parametrize("name", CASES)
def test_what_is_stored_is_what_chromium_shows(shown: dict[str, np.ndarray], name: str) -> None:
    expected = shown[name].astype(float)
    found = read(CASES[name][1]).rgba.astype(float)
    assert found.shape == expected.shape
    assert np.array_equal(found[..., 3], expected[..., 3])
    opacity = expected[..., 3:] / 255  # the canvas keeps colours multiplied by it
    assert np.abs(found[..., :3] * opacity - expected[..., :3] * opacity).max() <= 1.5  # a level each for two roundings


def test_the_referee_converts_colours(shown: dict[str, np.ndarray]) -> None:
    """Each property above changes what Chromium shows; otherwise reading the raw pixels would pass."""
    raw = shown["PNG: nothing"].astype(int)
    for name in ("gAMA 100000", "iCCP before gAMA", "cICP over iCCP and sRGB", "gAMA of sRGB, cHRM of P3"):
        assert np.abs(shown[f"PNG: {name}"] - raw).max() > 15
    assert shown["PNG, EXIF: 6"].shape == (3, 2, 4)
    assert shown["jpeg, EXIF 6"].shape == (24, 16, 4)
    assert np.abs(shown["jpeg, CMYK by inks"].astype(int) - shown["jpeg, CMYK by nothing"]).max() > 15
    assert shown["bmp, 4444"][..., 3].min() < 255


def test_grey_stays_grey_by_the_profile_of_grey_and_of_rgb() -> None:
    for profile in ("grey", "gamma 1", "swapped", "three curves"):
        mode = read(png(RAMP, before=[iccp(PROFILES[profile])])).mode
        assert mode == ("RGB" if profile == "three curves" else "L")
    buffer = io.BytesIO()
    Image.fromarray(RAMP.astype(np.uint8)).save(buffer, "BMP")
    assert read(buffer.getvalue()).mode == "L"
