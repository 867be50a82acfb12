"""Pictures are stored upright, in sRGB, with 8 bits per channel; files that cannot be read are refused by name."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from support import pictures
from support.http import LIMITS, Api, problem
from support.png import chunk, png
from support.reading import read

WRITTEN = {
    "PNG": ["1", "L", "LA", "P", "P+t", "RGB", "RGBA", "I;16"],
    "JPEG": ["1", "L", "RGB", "CMYK", "YCbCr"],
    "WEBP": ["L", "LA", "P", "P+t", "RGB", "RGBA"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
}
ALPHA = {"LA", "P+t", "RGBA"}
GREY = {"1", "L", "LA", "I;16"}


def _stored(api: Api, content: bytes, name: str = "a.png") -> Image.Image:
    """Upload a picture and return the stored one."""
    answer = api.upload((name, content))
    assert answer.status_code == 201, answer.text
    (image,) = answer.json()["images"]
    stored = api.client.get(image["url"])
    picture = pictures.decoded(stored.content)
    assert stored.headers["content-type"] == "image/png"
    assert (picture.format, picture.size) == ("PNG", (image["width"], image["height"]))
    assert _chunks(stored.content) == {b"IHDR", b"IDAT", b"IEND"}, "only pixels are stored"
    return picture


def _chunks(png: bytes) -> set[bytes]:
    found, at = set(), 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        found.add(png[at + 4 : at + 8])
        at += 12 + length
    return found


def _refused(api: Api, content: bytes, *statuses: int, name: str = "bad.png") -> str:
    """Upload a good picture and `content`; check that it is refused by name, and return the reason."""
    before = api.stored()
    error = problem(api.upload(("good.png", pictures.png()), (name, content)), *statuses)
    assert [(one["field"], one["file"]) for one in error["errors"]] == [("images[1]", name)]
    assert api.stored() == before
    return str(error["errors"][0]["message"])


@pytest.mark.parametrize(("format_", "mode"), [(format_, mode) for format_, modes in WRITTEN.items() for mode in modes])
def test_every_mode_of_every_format_is_read(api: Api, format_: str, mode: str) -> None:
    options = {"quality": 100} if format_ == "JPEG" else {"lossless": True} if format_ == "WEBP" else {}
    content = pictures.encoded(pictures.in_mode(mode), format_, **options)
    stored = _stored(api, content, f"a.{format_.lower()}")
    grey = mode in GREY and format_ not in ("WEBP",)
    # WebP has no grey; whether BMP's alpha is read depends on Pillow.
    if (format_, mode) != ("BMP", "RGBA"):
        assert stored.mode == ("L" if grey else "RGB") + ("A" if mode in ALPHA else "")
    with Image.open(io.BytesIO(content)) as opened:
        if mode == "I;16":
            expected = np.asarray(opened).astype(float) / 257
        else:
            expected = np.asarray(opened.convert(stored.mode)).astype(float)
    assert np.abs(np.asarray(stored).astype(float) - expected).max() <= 1


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
@pytest.mark.parametrize("level", [0, 1, 128, 129, 256, 32767, 65534, 65535])
def test_grey_of_16_bits_becomes_the_nearest_of_8(api: Api, format_: str, level: int) -> None:
    picture = Image.fromarray(np.full((3, 3), level, np.uint16))
    stored = _stored(api, pictures.encoded(picture, format_))
    assert set(np.asarray(stored).ravel()) == {round(level / 257)}


def test_grey_of_16_bits_in_the_other_byte_order(api: Api) -> None:
    levels = np.linspace(0, 65535, 12).astype(">u2").reshape(3, 4)
    picture = Image.frombytes("I;16B", (4, 3), levels.tobytes())
    stored = _stored(api, pictures.encoded(picture, "TIFF"))
    assert np.array_equal(np.asarray(stored), np.round(levels.astype(float) / 257))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "AVIF", "TIFF"])
def test_a_picture_is_turned_upright(api: Api, format_: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if format_ in ("JPEG", "AVIF") else {}
    content = pictures.encoded(pictures.colors(), format_, exif=exif, **options)
    stored = _stored(api, content)
    with Image.open(io.BytesIO(content)) as opened:
        expected = ImageOps.exif_transpose(opened).convert("RGB")
    assert stored.size == ((7, 12) if orientation > 4 else (12, 7))
    assert np.array_equal(np.asarray(stored), np.asarray(expected))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "P+t", "RGB+t"])
def test_colours_are_converted_to_srgb_by_the_embedded_profile(api: Api, mode: str) -> None:
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    options: dict[str, object] = {"icc_profile": pictures.swapped_profile()}
    if mode == "RGBA":
        red.putalpha(100)
    elif mode.startswith("P"):
        red = red.quantize(4)
    if mode == "RGB+t":
        options["transparency"] = (0, 0, 255)
    elif mode == "P+t":
        options["transparency"] = 3
    stored = _stored(api, pictures.encoded(red, "PNG", **options))
    assert stored.mode == ("RGBA" if mode in ("RGBA", "P+t", "RGB+t") else "RGB")
    pixel = stored.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    assert pixel[1] > 200 > 60 > pixel[0]  # the profile swaps red and green
    if mode == "RGBA":
        assert pixel[3] == 100


def test_an_invalid_profile_is_ignored_and_not_stored(api: Api) -> None:
    for mode in ("RGB", "L", "RGBA"):
        content = pictures.encoded(pictures.in_mode(mode), "PNG", icc_profile=b"no profile at all")
        stored = _stored(api, content)
        assert np.array_equal(np.asarray(stored), np.asarray(pictures.in_mode(mode)))


def test_rubbish_in_the_exif_is_ignored(api: Api) -> None:
    """As in a public report: a program wrote Python's name for the bytes."""
    content = png(np.asarray(pictures.colors()), before=[chunk(b"eXIf", b"b'MM\\x00*\\x00\\x00'")])
    assert np.array_equal(np.asarray(_stored(api, content)), np.asarray(pictures.colors()))


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_an_orientation_in_xmp_alone_is_ignored(api: Api, mode: str) -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>"
    for format_ in ("PNG", "WEBP", "JPEG") if mode == "RGB" else ("PNG", "GIF"):
        options = {} if format_ in ("PNG", "GIF") else {"xmp": xmp}
        if format_ == "PNG":
            options["pnginfo"] = _with_text(xmp)
        content = pictures.encoded(pictures.colors().convert(mode), format_, **options)
        assert _stored(api, content).size == (12, 7)


def _with_text(xmp: bytes) -> PngInfo:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return info


def test_a_transparent_colour_becomes_alpha(api: Api) -> None:
    picture = Image.new("RGB", (2, 1), (1, 2, 3))
    picture.putpixel((1, 0), (9, 9, 9))
    stored = _stored(api, pictures.encoded(picture, "PNG", transparency=(1, 2, 3)))
    assert [stored.getpixel((x, 0)) for x in (0, 1)] == [(1, 2, 3, 0), (9, 9, 9, 255)]
    grey = _stored(api, pictures.encoded(picture.convert("L"), "PNG", transparency=9))
    assert grey.mode == "LA"
    assert grey.getpixel((1, 0)) == (9, 0)


def test_metadata_is_not_stored(api: Api) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    stored = _stored(api, pictures.encoded(pictures.colors(), "JPEG", exif=exif, comment="secret", dpi=(300, 300)))
    assert not stored.info


def test_the_first_picture_of_an_mpo_is_read(api: Api) -> None:
    """Cameras write MPO files: a photograph followed by previews. Viewers show the first."""
    second = pictures.colors(5, 5)
    content = pictures.encoded(pictures.colors(), "MPO", save_all=True, append_images=[second])
    assert _stored(api, content, "a.jpg").size == (12, 7)
    assert read(content).notes == ["only the first of 2 pictures is used"]
    bright = b'<x:xmpmeta hdrgm:Version="1.0"/>'  # as in the first picture of an Ultra HDR photograph
    segment = b"\xff\xe1" + struct.pack(">H", 2 + 29 + len(bright)) + b"http://ns.adobe.com/xap/1.0/\0" + bright
    assert read(content[:2] + segment + content[2:]).notes == []


def test_the_format_is_not_taken_from_the_name(api: Api) -> None:
    assert _stored(api, pictures.png(), "a.jpg").size == (12, 7)
    assert _stored(api, pictures.png(), "a.svg").size == (12, 7)


def test_the_largest_allowed_sizes_are_read(api: Api) -> None:
    side, pixels = LIMITS["GENCONVNET_MAX_PICTURE_SIDE"], LIMITS["GENCONVNET_MAX_PICTURE_PIXELS"]
    assert _stored(api, pictures.encoded(Image.new("L", (side, 1)), "PNG")).size == (side, 1)
    assert _stored(api, pictures.encoded(Image.new("L", (1000, pixels // 1000)), "PNG")).size == (1000, 1000)
    assert _stored(api, pictures.png(1, 1)).size == (1, 1)


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script/></svg>'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("garbage.png", bytes(range(256)) * 9),
        ("text.jpg", b"not a picture"),
        ("drawing.svg", SVG),
        ("drawing.png", SVG),
        ("page.png", b"<html><img src=x></html>"),
        ("icon.ico", pictures.encoded(pictures.colors(), "ICO")),
        ("photo.jp2", pictures.encoded(pictures.colors(), "JPEG2000")),
        ("print.eps", pictures.encoded(pictures.colors(), "EPS")),
        ("paper.pdf", pictures.encoded(pictures.colors(), "PDF")),
        ("grey.ppm", pictures.encoded(pictures.colors(), "PPM")),
        ("head.png", pictures.png()[:8]),
    ],
)
def test_other_formats_are_refused(api: Api, name: str, content: bytes) -> None:
    assert "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC" in _refused(api, content, 415, name=name)


def _bomb(width: int, height: int) -> bytes:
    """Return a PNG whose header claims this size, with almost no pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(2001, 1), (1, 2001), (1001, 1000), (60_000, 60_000), (2**31 - 1, 1)])
def test_a_picture_too_large_is_called_so_before_it_is_decoded(api: Api, width: int, height: int) -> None:
    reason = _refused(api, _bomb(width, height), 422)
    assert reason.startswith(f"too large: {width} x {height} pixels")
    assert "broken" not in reason


def test_a_picture_without_pixels_is_refused(api: Api) -> None:
    _refused(api, _bomb(0, 5), 415, 422)


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "GIF", "AVIF", "TIFF"])
def test_of_several_frames_the_first_is_stored_and_the_answer_says_so(api: Api, format_: str) -> None:
    frames = [pictures.colors(), ImageOps.invert(pictures.colors())]
    options = {"quality": 100} if format_ == "AVIF" else {"lossless": True} if format_ == "WEBP" else {}
    content = pictures.encoded(frames[0], format_, save_all=True, append_images=frames[1:], **options)
    answer = api.upload(("film", content), ("still", pictures.encoded(frames[0], format_, **options)))
    assert answer.status_code == 201, answer.text
    film, still = answer.json()["images"]
    pages = ["only the first of 2 pages is used"]
    assert film["notes"] == (pages if format_ == "TIFF" else ["an animation: only its first frame is used"])
    assert still["notes"] == []
    assert api.client.get(answer.headers["Location"]).json()["images"] == [film, still]
    stored = pictures.decoded(api.client.get(film["url"]).content).convert("RGB")
    difference = np.abs(np.asarray(stored).astype(int) - np.asarray(frames[0]))
    assert difference.mean() <= {"AVIF": 8, "GIF": 4}.get(format_, 0)  # of the second frame it is 85


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, 0.97])
def test_a_truncated_picture_is_refused(api: Api, format_: str, kept: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    content = pictures.encoded(noise, format_)
    _refused(api, content[: int(len(content) * kept)], 415, 422)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_stated_range_are_refused(api: Api, mode: str) -> None:
    picture = pictures.in_mode("F") if mode == "F" else Image.fromarray(np.full((3, 3), 70_000, np.int32))
    assert "8 or 16 bits" in _refused(api, pictures.encoded(picture, "TIFF"), 422)


def test_negative_pixels_are_refused(api: Api) -> None:
    _refused(api, pictures.encoded(Image.fromarray(np.full((3, 3), -5, np.int32)), "TIFF"), 422)


def test_a_file_too_large_is_refused(api: Api) -> None:
    content = pictures.png() + b"\0" * LIMITS["GENCONVNET_MAX_FILE_BYTES"]
    assert "too large: it is larger than 600000 bytes" in _refused(api, content, 413)


def test_each_refused_file_is_named(api: Api) -> None:
    before = api.stored()
    answer = api.upload(("a.png", b"no"), ("b.png", pictures.png()), ("ü.png", _bomb(2001, 1)), ("d.png", b""))
    found = problem(answer, 415)["errors"]
    assert [(one["field"], one["file"]) for one in found] == [
        ("images[0]", "a.png"),
        ("images[2]", "ü.png"),
        ("images[3]", "d.png"),
    ]
    assert api.stored() == before


@pytest.mark.parametrize(
    ("format_", "most"),
    [
        *((format_, 40_000) for format_ in ("JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP", "AVIF")),
        ("JPEG", 9_000),
        ("PNG", 9_000),
    ],
)
def test_a_picture_of_many_pixels_is_scaled_down_while_it_is_decoded(format_: str, most: int) -> None:
    picture = pictures.colors(301, 200)
    found = read(pictures.encoded(picture, format_), max_stored_pixels=most)
    height, width = found.pixels.shape[:2]
    factor = {40_000: 2, 9_000: 3}[most]
    assert (width, height) == (-(-301 // factor), -(-200 // factor))
    assert found.notes == [f"scaled down from 301 x 200 to {width} x {height} pixels"]
    expected = np.asarray(picture.reduce(factor)).astype(int)
    assert np.abs(found.rgba[..., :3] - expected).mean() < (5 if format_ in ("GIF", "AVIF", "WEBP") else 1)


def test_a_picture_that_is_scaled_down_is_upright_and_in_srgb() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif, "icc_profile": pictures.swapped_profile(), "quality": 100}
    content = pictures.encoded(Image.new("RGB", (64, 32), (255, 0, 0)), "JPEG", **options)
    found = read(content, max_stored_pixels=512)
    assert found.pixels.shape == (32, 16, 3)
    red, green, _ = found.pixels[16, 8]
    assert green > 200 > 60 > red
