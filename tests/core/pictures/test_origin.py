"""What a picture's file says about its making: written, read, and not believed if it is damaged."""

import io
import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from support import pictures

from core.pictures.origin import MAX_BYTES, BadOrigin, DatasetOrigin, NoOrigin, Origin, read_origin, write_origin
from core.version import VERSION

HASHES = ["a" * 64, "b" * 64]
ORIGIN = Origin(
    kind="train",
    params={"seed": 2**62, "layers": [{"filters": 4}], "step_size": 0.1, "precision": "auto"},
    model="c" * 64,
    dataset=DatasetOrigin.of(HASHES),
    precision="float32",
    device="cpu AVX2",
    name="synthesized-003.png",
    index=3,
)


def chunk(content: bytes, name: bytes = b"iTXt") -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_text(text: bytes, start: bytes = b"genconvnet\0\0\0\0\0") -> bytes:
    png = pictures.png()
    return png[:33] + chunk(start + text) + png[33:]


def altered(**changes: object) -> bytes:
    return with_text(json.dumps({**ORIGIN.model_dump(mode="json"), **changes}).encode())


def test_an_origin_is_read_as_it_was_written_and_the_pixels_stay() -> None:
    plain = pictures.png()
    written = write_origin(plain, ORIGIN)
    assert read_origin(io.BytesIO(written)) == ORIGIN
    assert written == write_origin(plain, ORIGIN)
    with Image.open(io.BytesIO(written)) as opened:
        assert np.array_equal(np.asarray(opened), pictures.pixels(plain))
        assert opened.text["Software"] == f"genconvnet {VERSION}"
        assert json.loads(opened.text["genconvnet"])["params"]["seed"] == 2**62


def test_an_origin_of_an_older_version_without_a_number_of_processes_is_read() -> None:
    fields = ORIGIN.model_dump(mode="json")
    assert fields.pop("processes") is None
    assert read_origin(io.BytesIO(with_text(json.dumps(fields).encode()))) == ORIGIN


@pytest.mark.parametrize("compressed", [False, True])
def test_an_origin_that_another_program_stored_again_is_read(compressed: bool) -> None:
    with Image.open(io.BytesIO(write_origin(pictures.png(), ORIGIN))) as opened:
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("Comment", "genconvnet")
        texts.add_itxt("genconvnet", opened.text["genconvnet"], lang="en", zip=compressed)
        stored = io.BytesIO()
        opened.save(stored, "PNG", pnginfo=texts)
    assert read_origin(stored) == ORIGIN
    png = pictures.png()
    assert read_origin(io.BytesIO(png[:-12] + with_text(ORIGIN.model_dump_json().encode())[33:])) == ORIGIN


@pytest.mark.parametrize(
    "file", [b"", b"GIF89a", pictures.png(), pictures.png()[:40], with_text(b"{}", b"other\0\0\0\0\0")]
)
def test_a_file_that_says_nothing_has_no_origin(file: bytes) -> None:
    with pytest.raises(NoOrigin):
        read_origin(io.BytesIO(file))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (with_text(b"{"), "EOF"),
        (with_text(b"[]"), "object"),
        (with_text(b"\xff\xfe"), "damaged"),
        (with_text(b"[" * 60_000), "recursion|nested|EOF"),
        (with_text(b"{}", b"genconvnet\0\2\0\0\0"), "PNG text"),
        (with_text(b"{}", b"genconvnet\0\0"), "PNG text"),
        (with_text(b"{}", b"genconvnet\0\1\0\0\0"), "damaged"),
        (with_text(zlib.compress(b" " * 10**7), b"genconvnet\0\1\0\0\0"), "longer"),
        (with_text(b" " * MAX_BYTES), "longer"),
        (write_origin(pictures.png(), ORIGIN).replace(b'"seed":4', b'"seed":5'), "checksum"),
        (altered(format="genconvnet-picture/2"), "format"),
        (altered(kind="classify"), "kind"),
        (altered(params=[1]), "params"),
        (altered(model="x"), "model"),
        (altered(index="3"), "index"),
        (altered(index=-1), "index"),
        (altered(dataset={"sha256": "a" * 64, "first": "a" * 64, "pictures": 0}), "dataset.pictures"),
        (altered(version="1" * 101), "version"),
    ],
)
def test_a_damaged_origin_is_refused_in_words(file: bytes, said: str) -> None:
    with pytest.raises(BadOrigin, match=said):
        read_origin(io.BytesIO(file))


def test_a_dataset_is_known_by_the_pictures_in_their_order() -> None:
    assert DatasetOrigin.of(HASHES).pictures == 2
    assert len({DatasetOrigin.of(some) for some in (HASHES, HASHES[::-1], HASHES[:1])}) == 3


def test_the_module_needs_neither_torch_nor_pillow() -> None:
    code = "import sys, core.pictures.origin; assert not {'torch', 'PIL', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
