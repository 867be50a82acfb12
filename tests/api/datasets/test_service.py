"""A dataset is stored whole or not at all."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support import pictures, rows
from support.http import LIMITS, Api, problem

from api.datasets import service
from api.datasets.files import DecodedPicture, PictureRefused, SkippedFile, UploadedFile
from api.errors import Problem
from core.schemas.materials import Role
from core.storage import datasets
from core.storage.errors import Conflict
from core.storage.idempotency import Idempotency


def test_more_pictures_than_allowed_are_refused(api: Api) -> None:
    before = api.stored()
    files = [(f"{index}.png", pictures.png(1, 1)) for index in range(LIMITS["GENCONVNET_MAX_PICTURES"] + 1)]
    problem(api.upload(*files), 413)
    problem(api.upload_zip(pictures.zipped(dict(files))), 413, 422)
    assert api.stored() == before


def _picture(name: str, content: bytes = b"abc") -> DecodedPicture:
    return DecodedPicture(name, content, 12, 7, "RGB", ["a note"])


def _refused(name: str, status: int) -> PictureRefused:
    return PictureRefused(status, UploadedFile(f"images[{name}]", name, b""), "is broken")


def _files(app_state: Any) -> list[str]:
    return [one.path for one in app_state.blobs.list_files("datasets/")]


def test_pictures_are_stored_in_their_order_with_what_was_skipped(app_state: Any) -> None:
    results = [_picture("a.png"), SkippedFile("notes.txt", "text"), _picture("b.png", b"other")]
    dataset = service.create(app_state, "walls", results)
    found = datasets.find(app_state.database, dataset.id)
    assert [(one.index, one.filename, one.notes) for one in found.images] == [
        (0, "a.png", ["a note"]),
        (1, "b.png", ["a note"]),
    ]
    assert [app_state.blobs.get(one.blob) for one in found.images] == [b"abc", b"other"]
    assert found.skipped == [{"file": "notes.txt", "reason": "text"}]


def test_every_refused_file_is_named_and_nothing_is_stored(app_state: Any) -> None:
    refused = [_refused(str(number), status) for number, status in enumerate((422, 415, 422, 422))]
    with pytest.raises(Problem) as error:
        service.create(app_state, None, [_picture("a.png"), *refused, *[_picture("b.png")] * 9])
    assert (error.value.status, [one["file"] for one in error.value.errors]) == (422, ["0", "1", "2", "3"])
    assert error.value.detail == "0: is broken; 1: is broken; 2: is broken", "three are enough to read"
    assert (rows.count(app_state.database)["datasets"], _files(app_state)) == (0, [])


def test_one_picture_more_than_allowed_ends_the_upload(app_state: Any) -> None:
    decoded: list[str] = []

    def results() -> Iterator[DecodedPicture]:
        for number in range(9):
            decoded.append(str(number))
            yield _picture(f"{number}.png")

    with pytest.raises(Problem, match="more than 3 pictures"):
        service.create(app_state, None, results())
    assert (len(decoded), _files(app_state)) == (4, []), "the others are not decoded"
    assert len(service.create(app_state, None, [_picture(f"{number}.png") for number in range(3)]).images) == 3


def test_a_material_has_a_role_for_each_picture_or_is_not_stored(app_state: Any) -> None:
    roles: dict[str, Role] = {"a.png": "albedo", "h.png": "height"}
    grey = DecodedPicture("h.png", b"abc", 12, 7, "L", [], 16)
    dataset = service.create(app_state, None, [_picture("a.png"), grey], roles)
    assert [(one.role, one.bits) for one in dataset.images] == [("albedo", 8), ("height", 16)]
    before = _files(app_state)
    with pytest.raises(Problem):
        service.create(app_state, None, [_picture("a.png"), replace(grey, width=13)], roles)
    assert _files(app_state) == before


def test_the_same_request_under_one_key_is_stored_once(app_state: Any) -> None:
    key = Idempotency("k", b"1" * 32)
    first = service.create(app_state, "walls", [_picture("a.png")], idempotency=key)

    def never() -> Iterator[DecodedPicture]:
        raise AssertionError("decoded again")
        yield

    assert service.create(app_state, "walls", never(), idempotency=key).id == first.id
    with pytest.raises(Conflict):
        service.create(app_state, "walls", [], idempotency=replace(key, request_sha256=b"2" * 32))


def test_of_two_requests_at_once_one_keeps_its_files(app_state: Any) -> None:
    key = Idempotency("k", b"1" * 32)
    inner: list[str] = []

    def results() -> Iterator[DecodedPicture]:
        inner.append(service.create(app_state, None, [_picture("a.png")], idempotency=key).id)
        yield _picture("a.png")

    assert [service.create(app_state, None, results(), idempotency=key).id] == inner
    assert _files(app_state) == [f"datasets/{inner[0]}/0.png"]
