"""Pictures, in all the forms that callers have them, and what is sent of them."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import pictures

from api.client import Client, Invalid


def test_pictures_are_uploaded_in_every_form_that_a_program_has(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "a brick.png"
    path.write_bytes(pictures.png())
    packed = tmp_path / "packed.zip"
    packed.write_bytes(pictures.zipped({"in/b.png": pictures.png(), "notes.txt": b"caption"}))
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("2.png", "1.png", ".DS_Store", "1.txt"):
        (folder / name).write_bytes(pictures.png())
    (folder / "more").mkdir()
    inks = Image.new("CMYK", (20, 10), (0, 255, 0, 0))
    (folder / os.fsdecode(b"bad\xff.png")).write_bytes(pictures.png())
    given = [str(path), packed, pictures.png(), io.BytesIO(pictures.png()), pictures.colors(), inks, folder]
    dataset = client.upload(given, name="all")
    names = [one.filename for one in dataset.images]
    assert names == [
        "a brick.png",
        "b.png",
        "picture-2",
        "picture-3",
        "picture-4.png",
        "picture-5.tiff",
        "1.png",
        "2.png",
        "bad\ufffd.png",
    ]
    skipped = {one.file: one.reason for one in dataset.skipped}
    assert (dataset.name, sorted(skipped)) == ("all", [".DS_Store", "1.txt", "more", "notes.txt"])
    assert skipped["1.txt"] == skipped["notes.txt"], "a folder is read as a zip"
    assert client.datasets.show(dataset.id).images == dataset.images
    assert len(client.upload(path).images) == len(client.upload(one for one in [path]).images) == 1


def test_the_maps_of_a_material_are_uploaded_by_role(client: Client, tmp_path: Path) -> None:
    for role in ("albedo", "height"):
        (tmp_path / role).mkdir()
        (tmp_path / role / "1.png").write_bytes(pictures.png())
    dataset = client.upload({"height": tmp_path / "height" / "1.png", "albedo": tmp_path / "albedo" / "1.png"})
    assert [(one.index, one.role) for one in dataset.maps] == [(0, "height"), (1, "albedo")]
    assert [one.filename for one in dataset.images] == ["height-1.png", "albedo-1.png"]
    deep = Image.fromarray(np.full((7, 12), 1000, np.uint16))
    dataset = client.upload({"albedo": tmp_path / "albedo" / "1.png", "height": deep})
    assert [(one.filename, one.width) for one in dataset.images] == [("1.png", 12), ("picture-0.png", 12)]
    assert [(one.role, one.channels, one.bits) for one in dataset.maps] == [("albedo", 3, 8), ("height", 1, 16)]
    with pytest.raises(ValueError, match="the albedo map must be one file, not 2"):
        client.upload({"albedo": [pictures.png(), pictures.png()]})  # type: ignore[dict-item]


def test_a_picture_of_pillow_keeps_its_orientation(client: Client) -> None:
    turned = Image.open(io.BytesIO(pictures.png(30, 20)))
    turned.getexif()[274] = 6  # to be shown turned by a quarter
    (image,) = client.upload(turned).images
    assert (image.width, image.height) == (20, 30)


def test_a_picture_that_cannot_be_read_is_named_and_no_dataset_is_made(client: Client, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(pictures.png()[:40])
    with pytest.raises(Invalid) as refused:
        client.upload([pictures.png(), broken])
    assert (refused.value.status, refused.value.field, refused.value.file) == (415, "images[1]", "broken.png")
    assert "broken.png" in str(refused.value)
    with pytest.raises(FileNotFoundError):
        client.upload(tmp_path / "none.png")
    with pytest.raises(ValueError, match="no pictures"):
        client.upload([])
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"no pictures to upload; skipped: notes.txt \(text"):
        client.upload(tmp_path / "texts")
    with pytest.raises(Invalid, match="notes"):
        client.upload(tmp_path / "texts" / "notes.txt")
    assert list(client.datasets.list()) == []
