"""Files made to do harm, and every form that Pillow writes: accepted with the right pixels, or refused and named."""

import io
import random
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support import pictures
from support.http import Api, problem

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
MODES = [
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "I;16",
    "I;16L",
    "I;16B",
    "I;16N",
]
EXACT = {"PNG": {}, "JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}, "TIFF": {}, "BMP": {}}
ONLY_OURS = {b"IHDR", b"IDAT", b"IEND"}


def _in(mode: str) -> Image.Image:
    """Grey 0x6060 or the colours, in any mode; ValueError where Pillow knows no way there."""
    if mode.startswith("I;16"):
        return Image.frombytes(mode, (4, 3), b"\x60\x60" * 12)
    if mode in ("La", "RGBa"):
        return pictures.colors().convert("LA" if mode == "La" else "RGBA").convert(mode)
    if mode == "PA":
        return pictures.colors().convert("L").convert("LA").convert("PA")
    if mode == "LAB":
        return Image.merge("LAB", pictures.colors().split())
    if mode == "I":
        return Image.fromarray(np.full((3, 4), 0x6060, np.int32))
    return pictures.colors().convert(mode)


def _written() -> dict[str, bytes]:
    found = {}
    for format_ in FORMATS:
        for mode in MODES:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found[f"{format_}-{mode}"] = pictures.encoded(_in(mode), format_, **EXACT[format_])
            except (OSError, ValueError, KeyError):  # not a mode of this format
                continue
    return found


WRITTEN = _written()


@pytest.mark.parametrize("name", WRITTEN)
def test_every_mode_that_pillow_writes_is_read_or_refused(api: Api, name: str) -> None:
    content = WRITTEN[name]
    answer = api.upload(("a.bin", content))
    with Image.open(io.BytesIO(content)) as opened:
        if opened.mode == "F":
            (error,) = problem(answer, 422)["errors"]
            assert error["file"] == "a.bin"
            return
        assert answer.status_code == 201, answer.text
        stored = pictures.decoded(api.client.get(answer.json()["images"][0]["url"]).content)
        if opened.mode.startswith("I"):
            expected = np.full(stored.size[::-1], 0x60, np.uint8)
        else:
            expected = np.asarray(opened.convert(stored.mode))
    assert np.abs(np.asarray(stored).astype(int) - expected.astype(int)).max() <= 1


def test_pillow_writes_most_modes() -> None:
    assert len(WRITTEN) > 35


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("tail", [b"<script>alert(1)</script>", pictures.zipped({"a.txt": b"tail"})])
def test_only_the_pixels_of_a_polyglot_are_stored(api: Api, format_: str, tail: bytes) -> None:
    answer = api.upload(("a.png", pictures.encoded(pictures.colors(), format_) + tail))
    assert answer.status_code == 201, answer.text
    stored = api.client.get(answer.json()["images"][0]["url"]).content
    assert tail not in stored
    assert _chunks(stored) == ONLY_OURS


def _chunks(png: bytes) -> set[bytes]:
    found, at = set(), 8
    while at < len(png):
        found.add(png[at + 4 : at + 8])
        at += 12 + struct.unpack_from(">I", png, at)[0]
    return found


def _with_chunk(name: bytes, content: bytes) -> bytes:
    """A PNG with one chunk more, behind its header."""
    png = pictures.png()
    chunk = struct.pack(">I", len(content)) + name + content
    return png[:33] + chunk + struct.pack(">I", zlib.crc32(name + content)) + png[33:]


BOMB = zlib.compress(bytes(100_000_000), 9)
HOSTILE = {
    "zTXt": _with_chunk(b"zTXt", b"a\0\0" + BOMB),
    "iTXt": _with_chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB),
    "iCCP": _with_chunk(b"iCCP", b"a\0\0" + BOMB),
    "eXIf": _with_chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + bytes(200_000)),
    "acTL": _with_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)),
    "eternal TIFF": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "deep EXIF": pictures.encoded(pictures.colors(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0" + b"\xff" * 60_000),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_metadata_are_dropped_or_refused(api: Api, content: bytes) -> None:
    answer = api.upload(("a.png", content))
    if answer.status_code == 201:
        stored = api.client.get(answer.json()["images"][0]["url"]).content
        assert _chunks(stored) == ONLY_OURS
    else:
        assert problem(answer, 415, 422)["errors"][0]["file"] == "a.png"


def _entries(*names: str) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name in names:
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            archive.writestr(entry, pictures.png())
    return buffer.getvalue()


def _overlapping() -> bytes:
    """Two entries of the directory that unpack the same bytes, as zbsm does."""
    content = bytearray(_entries("bad.png", "z.png"))
    directory = content.find(b"PK\1\2")
    second = content.find(b"PK\1\2", directory + 4)
    struct.pack_into("<I", content, second + 42, 0)
    return bytes(content)


def _lying(field: int, value: int) -> bytes:
    content = bytearray(_entries("bad.png"))
    struct.pack_into("<I", content, content.find(b"PK\1\2") + field, value)
    return bytes(content)


def _special() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("bad.png")
        entry.create_system, entry.external_attr = 3, 0o020666 << 16  # a device
        archive.writestr(entry, b"")
    return buffer.getvalue()


ARCHIVES = {
    "a step up": (_entries("../bad.png"), "leads out"),
    "a step up within": (_entries("a/../../bad.png"), "leads out"),
    "absolute": (_entries("/etc/bad.png"), "leads out"),
    "a drive": (_entries("C:\\bad.png"), "leads out"),
    "a backslash up": (_entries("..\\..\\bad.png"), "leads out"),
    "a share": (_entries("\\\\host\\share\\bad.png"), "leads out"),
    "twice": (_entries("bad.png", "bad.png"), "twice"),
    "a device": (_special(), "not a regular file"),
    "a zip": (pictures.zipped({"bad.png": pictures.zipped({"a": b"a"})}), "is an archive itself"),
    "a gzip": (pictures.zipped({"bad.png": b"\x1f\x8b\x08" + bytes(9)}), "is an archive itself"),
    "overlapping": (_overlapping(), "overlaps|cannot be unpacked"),
    "a size too small": (_lying(24, 5), "cannot be unpacked|broken"),
    "a packed size too large": (_lying(20, 2**31), "overlaps"),
    "a bomb": (pictures.zipped({"bad.png": bytes(500_000)}), "compresses too well"),
}


@pytest.mark.parametrize(("content", "told"), ARCHIVES.values(), ids=ARCHIVES.keys())
def test_a_hostile_archive_is_refused_naming_archive_and_entry(api: Api, content: bytes, told: str) -> None:
    before = api.stored()
    answer = problem(api.upload_zip(content, "p.zip"), 413, 415, 422)
    (error,) = answer["errors"]
    assert error["file"] == "bad.png"
    assert any(part in error["message"] for part in told.split("|")), error
    assert answer["detail"].startswith("p.zip: bad.png: ")
    assert api.stored() == before


@pytest.mark.parametrize("tail", [b"", b"junk" * 100])
def test_a_zip64_with_leading_bytes_is_read(api: Api, tail: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a.png", "w", force_zip64=True) as entry:
        entry.write(pictures.png())
    assert api.upload_zip(tail + buffer.getvalue()).status_code == 201


def test_an_archive_of_very_many_entries_is_refused(api: Api) -> None:
    content = pictures.zipped({f"{index}/": b"" for index in range(3000)} | {"a.png": pictures.png()})
    (error,) = problem(api.upload_zip(content, "p.zip"), 422)["errors"]
    assert error["file"] == "p.zip"


SEEDS = [*WRITTEN.values(), _entries("a.png", "b.png"), *HOSTILE.values()]


@settings(max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    first=st.sampled_from(SEEDS),
    second=st.sampled_from(SEEDS),
    how=st.sampled_from(["flip", "cut", "splice", "repeat"]),
    chance=st.integers(0, 2**32),
)
def test_no_damaged_file_breaks_the_api(api: Api, first: bytes, second: bytes, how: str, chance: int) -> None:
    drawn = random.Random(chance)
    at, other = drawn.randrange(len(first)), drawn.randrange(len(second))
    bent = bytearray(first)
    match how:
        case "flip":
            for _ in range(drawn.randint(1, 12)):
                bent[drawn.randrange(min(len(bent), 400))] ^= 1 << drawn.randrange(8)
        case "cut":
            del bent[at:]
        case "splice":
            bent = bytearray(first[:at] + second[other:])
        case "repeat":
            bent[at:at] = first[: drawn.randint(0, 200)] * drawn.randint(1, 20)
    for answer in (api.upload(("a.png", bytes(bent))), api.upload_zip(bytes(bent))):
        if answer.status_code != 201:
            assert problem(answer, 413, 415, 422)["errors"]
