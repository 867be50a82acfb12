"""Materials over HTTP: aligned maps are stored with all their bits, and what is wrong with them is said by file."""

import json
from typing import Any

import numpy as np
import pytest
from support import pictures
from support.http import Api, problem
from support.png import gama, png
from support.tiff import tiff

from api.datasets.files import DecodedPicture, PictureRefused, UploadedFile
from api.datasets.limits import Limits
from api.datasets.map_reader import read_map
from api.settings import ApiSettings
from core.pictures.deep_png import read_samples
from core.schemas.materials import Role

SIDE = 12
RGB16 = np.random.default_rng(1).integers(0, 65536, (SIDE, SIDE, 3), dtype=np.uint16)
RGB8, GREY16, GREY8 = (RGB16 >> 8).astype(np.uint8), RGB16[..., :1], (RGB16[..., :1] >> 8).astype(np.uint8)
OPAQUE, CLEAR = np.full((SIDE, SIDE, 1), 65535, np.uint16), np.full((SIDE, SIDE, 1), 65534, np.uint16)
DARK = gama(100_000)  # linear light: as a picture its levels are raised


def _read(content: bytes, role: Role, **limits: int) -> DecodedPicture:
    return read_map(UploadedFile("images[0]", "a.png", content), Limits.of(ApiSettings(**limits)), role)


KEPT: dict[str, tuple[bytes, Role, np.ndarray]] = {
    "PNG of 16 bits, RGB": (png(RGB16, 16), "normal", RGB16),
    "PNG of 16 bits, grey": (png(GREY16, 16), "height", GREY16),
    "PNG of 16 bits, opaque alpha": (png(np.concatenate([RGB16, OPAQUE], axis=2), 16), "normal", RGB16),
    "PNG of 16 bits, RGB that repeats grey": (png(np.repeat(GREY16, 3, axis=2), 16), "height", GREY16),
    "PNG of 16 bits in linear light, as data": (png(RGB16, 16, before=[DARK]), "other", RGB16),
    "PNG of 8 bits in linear light, as data": (png(GREY8, before=[DARK]), "roughness", GREY8),
    "PNG of 8 bits, an albedo": (png(RGB8), "albedo", RGB8),
    "TIFF of 16 bits, RGB": (tiff(RGB16, 16, 2), "normal", RGB16),
    "TIFF of 16 bits, grey": (tiff(GREY16, 16, 1, order=">"), "height", GREY16),
}


@pytest.mark.parametrize(("content", "role", "expected"), KEPT.values(), ids=KEPT.keys())
def test_the_samples_of_a_map_are_stored_as_they_are(content: bytes, role: Role, expected: np.ndarray) -> None:
    found = _read(content, role)
    samples = read_samples(found.png)
    assert np.array_equal(samples, expected)
    assert (found.bits, found.mode) == (8 * expected.itemsize, "RGB" if expected.shape[2] == 3 else "L")


def test_an_albedo_of_another_profile_is_converted_to_srgb_with_8_bits() -> None:
    found = _read(png(RGB16, 16, before=[DARK]), "albedo")
    assert found.bits == 8
    assert read_samples(found.png).mean() > RGB8.mean() + 20


def test_a_large_map_is_scaled_down_with_all_its_bits() -> None:
    found = _read(png(GREY16, 16), "height", max_stored_pixels=SIDE * SIDE // 4)
    means = GREY16[..., 0].reshape(SIDE // 2, 2, SIDE // 2, 2).mean(axis=(1, 3))
    assert np.abs(read_samples(found.png)[..., 0] - means).max() <= 1
    assert found.notes == [f"scaled down from {SIDE} x {SIDE} to {SIDE // 2} x {SIDE // 2} pixels"]


@pytest.mark.parametrize(
    ("content", "role", "reason"),
    [
        (png(GREY8), "normal", "must be RGB"),
        (png(np.concatenate([RGB16, CLEAR], axis=2), 16), "albedo", "must be opaque"),
        (png(np.concatenate([GREY16, OPAQUE], axis=2), 16), "height", "16 bits a channel in grey with alpha"),
    ],
)
def test_a_map_that_cannot_be_used_is_refused(content: bytes, role: Role, reason: str) -> None:
    with pytest.raises(PictureRefused, match=reason) as refused:
        _read(content, role)
    assert refused.value.status == 422


def test_a_material_says_its_maps(each_api: Api) -> None:
    files = [("wood.png", png(RGB8)), ("wood_h.png", png(GREY16, 16))]
    answer = each_api.upload(*files, maps='{"wood_h.png": "height", "wood.png": "albedo"}')
    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert dataset["maps"] == [
        {"index": 0, "role": "albedo", "channels": 3, "bits": 8},
        {"index": 1, "role": "height", "channels": 1, "bits": 16},
    ]
    stored = each_api.client.get(dataset["images"][1]["url"]).content
    assert np.array_equal(read_samples(stored), GREY16)
    assert each_api.client.get(f"/v1/datasets/{dataset['id']}").json() == dataset
    archive = {"archive": ("wood.zip", pictures.zipped(dict(files)))}
    packed = each_api.client.post(
        "/v1/datasets", files=archive, data={"maps": json.dumps(dict.fromkeys(["wood.png"], "albedo"))}
    )
    assert problem(packed, 422)["errors"] == [
        {"field": "maps", "file": "wood_h.png", "message": "the field maps does not say which map it is"}
    ]
    assert each_api.upload(files[0]).json()["maps"] == []


A, B = ("a.png", png(RGB8)), ("b.png", png(GREY8))
WRONG: dict[str, tuple[Any, list[tuple[str, bytes]], list[str | None], str]] = {
    "no JSON": ("{a.png: albedo}", [A], [None], "is not JSON"),
    "no object": ("[1]", [A], [None], "must be an object"),
    "empty": ("{}", [A], [None], "must be an object"),
    "an unknown role": ('{"a.png": "diffuse"}', [A], ["a.png"], '"diffuse" is no role'),
    "a role twice": ('{"a.png": "albedo", "b.png": "albedo"}', [A, B], ["b.png"], "but so is a.png"),
    "a name twice": ('{"a.png": "albedo", "a.png": "other"}', [A], ["a.png"], "is named twice"),
    "no such file": ('{"a.png": "albedo", "c.png": "height"}', [A], ["c.png"], "no uploaded picture has this name"),
    "an unnamed file": ('{"a.png": "albedo"}', [A, B], ["b.png"], "does not say which map it is"),
    "two files of a name": ('{"a.png": "albedo"}', [A, A], ["a.png"], "two uploaded pictures have this name"),
    "other sizes": (
        '{"a.png": "albedo", "b.png": "height"}',
        [A, ("b.png", png(GREY8[1:]))],
        ["b.png"],
        "is 12 x 11 pixels, but a.png 12 x 12",
    ),
    "a grey normal map": ('{"b.png": "normal"}', [B], ["b.png"], "must be RGB"),
    "too many channels": (
        json.dumps({f"{role}.png": role for role in ("albedo", "normal", "height", "roughness", "metalness", "other")}),
        [(f"{role}.png", png(RGB8)) for role in ("albedo", "normal", "height", "roughness", "metalness", "other")],
        [None],
        "have 18 channels together, more than 16",
    ),
}


@pytest.mark.parametrize(("maps", "files", "named", "reason"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_with_a_material_is_said_by_file(
    api: Api, maps: str, files: list[tuple[str, bytes]], named: list[str | None], reason: str
) -> None:
    before = api.stored()
    errors = problem(api.upload(*files, maps=maps), 422)["errors"]
    assert [one.get("file") for one in errors] == named
    assert reason in errors[0]["message"]
    assert api.stored() == before
