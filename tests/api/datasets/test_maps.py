"""Materials over HTTP: the maps that belong together, and what is wrong with them, said by file."""

import json
from typing import Any

import numpy as np
import pytest
from support import pictures
from support.http import Api, problem
from support.png import png

from core.pictures.deep_png import read_samples

SIDE = 12
RGB16 = np.random.default_rng(1).integers(0, 65536, (SIDE, SIDE, 3), dtype=np.uint16)
RGB8, GREY16, GREY8 = (RGB16 >> 8).astype(np.uint8), RGB16[..., :1], (RGB16[..., :1] >> 8).astype(np.uint8)


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
