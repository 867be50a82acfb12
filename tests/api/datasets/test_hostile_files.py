"""Malicious and damaged files, and every mode that Pillow writes: read correctly, or refused by name."""

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

ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
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
EXACT = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}
STORED_CHUNKS = {b"IHDR", b"IDAT", b"IEND"}


def _picture(mode: str) -> Image.Image:
    """Return a picture in `mode`: grey 0x6060 if it has 16 or 32 bits, else colours. May raise ValueError."""
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
                    found[f"{format_}-{mode}"] = pictures.encoded(_picture(mode), format_, **EXACT.get(format_, {}))
            except (OSError, ValueError, KeyError):  # the format has no such mode
                continue
    return found


WRITTEN = _written()


@pytest.mark.parametrize("name", WRITTEN)
def test_every_mode_that_pillow_writes_is_read_or_refused(api: Api, name: str) -> None:
    content = WRITTEN[name]
    answer = api.upload(("a.bin", content))
    with Image.open(io.BytesIO(content)) as opened:
        if opened.mode == "F" or name == "TIFF-I":  # 32 bits, whose range is not stated
            (error,) = problem(answer, 422)["errors"]
            assert error["file"] == "a.bin"
            return
        assert answer.status_code == 201, answer.text
        stored = pictures.decoded(api.client.get(answer.json()["images"][0]["url"]).content)
        if opened.mode.startswith("I"):
            expected = np.full(stored.size[::-1], 0x60, np.uint8)
        else:
            expected = np.asarray(opened.convert(stored.mode))
    # Pillow converts L*a*b* with black point compensation; see formats/test_tiff.py.
    tolerance = 10 if name.endswith("LAB") else 1
    assert np.abs(np.asarray(stored).astype(int) - expected.astype(int)).max() <= tolerance


def test_pillow_writes_most_modes() -> None:
    assert len(WRITTEN) > 35


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("tail", [b"<script>alert(1)</script>", pictures.zipped({"a.txt": b"tail"})])
def test_only_the_pixels_of_a_polyglot_are_stored(api: Api, format_: str, tail: bytes) -> None:
    answer = api.upload(("a.png", pictures.encoded(pictures.colors(), format_) + tail))
    assert answer.status_code == 201, answer.text
    stored = api.client.get(answer.json()["images"][0]["url"]).content
    assert tail not in stored
    assert _chunks(stored) == STORED_CHUNKS


def _chunks(png: bytes) -> set[bytes]:
    found, at = set(), 8
    while at < len(png):
        found.add(png[at + 4 : at + 8])
        at += 12 + struct.unpack_from(">I", png, at)[0]
    return found


def _png_with_chunk(name: bytes, content: bytes) -> bytes:
    """Return a PNG with another chunk after its header."""
    png = pictures.png()
    chunk = struct.pack(">I", len(content)) + name + content
    return png[:33] + chunk + struct.pack(">I", zlib.crc32(name + content)) + png[33:]


def _bomb(millions: int = 100) -> bytes:
    """Return so many million zeros, deflated, of which only two are compressed: all after the first are equal.

    Every process of a run imports this module.
    """
    deflate = zlib.compressobj(9)
    first, further = (deflate.compress(bytes(10**6)) + deflate.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    checksum = struct.pack(">I", (millions * 10**6 % 65_521) << 16 | 1)  # the Adler-32 of zeros
    return first + (millions - 1) * further + deflate.flush()[:-4] + checksum


BOMB = _bomb()
assert zlib.decompress(_bomb(3)) == bytes(3 * 10**6)
HOSTILE = {
    "zTXt": _png_with_chunk(b"zTXt", b"a\0\0" + BOMB),
    "iTXt": _png_with_chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB),
    "iCCP": _png_with_chunk(b"iCCP", b"a\0\0" + BOMB),
    "eXIf": _png_with_chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + bytes(200_000)),
    "acTL": _png_with_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)),
    "eternal TIFF": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "deep EXIF": pictures.encoded(pictures.colors(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0" + b"\xff" * 60_000),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_metadata_are_dropped_or_refused(api: Api, content: bytes) -> None:
    answer = api.upload(("a.png", content))
    if answer.status_code == 201:
        stored = api.client.get(answer.json()["images"][0]["url"]).content
        assert _chunks(stored) == STORED_CHUNKS
    else:
        assert problem(answer, 415, 422)["errors"][0]["file"] == "a.png"


def _entries(*names: str) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # about duplicate names
        for name in names:
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            archive.writestr(entry, pictures.png())
    return buffer.getvalue()


def _overlapping() -> bytes:
    """Return a zip whose directory has two entries for the same bytes, like the zip bomb zbsm."""
    content = bytearray(_entries("bad.png", "z.png"))
    directory = content.find(b"PK\1\2")
    second = content.find(b"PK\1\2", directory + 4)
    struct.pack_into("<I", content, second + 42, 0)
    return bytes(content)


def _with_false_size(field: int, value: int) -> bytes:
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
    "a size too small": (_with_false_size(24, 5), "cannot be unpacked|broken"),
    "a packed size too large": (_with_false_size(20, 2**31), "overlaps"),
    "a bomb": (pictures.zipped({"bad.png": bytes(500_000)}), "compresses too well"),
}


@pytest.mark.parametrize(("content", "reasons"), ARCHIVES.values(), ids=ARCHIVES.keys())
def test_a_hostile_archive_is_refused_naming_archive_and_entry(api: Api, content: bytes, reasons: str) -> None:
    before = api.stored()
    answer = problem(api.upload_zip(content, "p.zip"), 413, 415, 422)
    (error,) = answer["errors"]
    assert error["file"] == "bad.png"
    assert any(part in error["message"] for part in reasons.split("|")), error
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


SEEDS = [
    *WRITTEN.values(),
    *HOSTILE.values(),
    *(pictures.encoded(pictures.colors(30, 20), format_) for format_ in FORMATS),
    pictures.encoded(pictures.in_mode("P+t"), "PNG", icc_profile=pictures.swapped_profile()),
    pictures.encoded(pictures.in_mode("CMYK"), "TIFF", compression="tiff_lzw"),
    pictures.encoded(pictures.colors(), "MPO", save_all=True, append_images=[pictures.colors(5, 5)]),
    *(pictures.zipped({"a.png": pictures.png(), "b.png": pictures.png()}, method) for method in ZIP_METHODS),
]


@settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    first=st.sampled_from(SEEDS),
    second=st.sampled_from(SEEDS),
    how=st.sampled_from(["flip", "cut", "splice", "repeat"]),
    seed=st.integers(0, 2**32),
)
def test_no_damaged_file_breaks_the_api(api: Api, first: bytes, second: bytes, how: str, seed: int) -> None:
    rng = random.Random(seed)
    at, other = rng.randrange(len(first)), rng.randrange(len(second))
    damaged = bytearray(first)
    match how:
        case "flip":
            for _ in range(rng.randint(1, 12)):
                damaged[rng.randrange(min(len(damaged), 2000))] ^= 1 << rng.randrange(8)
        case "cut":
            del damaged[at:]
        case "splice":
            damaged = bytearray(first[:at] + second[other:])
        case "repeat":
            damaged[at:at] = first[: rng.randint(0, 200)] * rng.randint(1, 20)
    for answer in (api.upload(("a.png", bytes(damaged))), api.upload_zip(bytes(damaged))):
        if answer.status_code != 201:
            assert problem(answer, 413, 415, 422)["errors"]
