"""Uploads under an Idempotency-Key: the same upload is stored once, however often and by however many it is sent."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text
from support import pictures
from support.http import Api, fields, problem
from support.models import model_file
from support.waiting import until

RACERS = 2  # as many models are stored at once
NOISE = np.random.default_rng(1).integers(0, 256, (160, 160), dtype=np.uint8)
LARGE = pictures.encoded(Image.fromarray(NOISE), "PNG")  # is held on disk while it is received
MODEL = model_file()
Post = Callable[..., httpx.Response]


def _post_dataset(
    api: Api, key: str = "k", name: str = "n", field: str = "images", filename: str = "a.png", content: bytes = LARGE
) -> httpx.Response:
    files = [(field, (filename, content)), ("images", ("b.png", pictures.png()))]
    return api.client.post("/v1/datasets", files=files, data={"name": name}, headers={"Idempotency-Key": key})


def _post_model(
    api: Api,
    key: str = "k",
    name: str = "n",
    field: str = "model",
    filename: str = "m",
    content: bytes = MODEL,
    path: str = "/v1/models",
) -> httpx.Response:
    files = {field: (filename, content)}
    return api.client.post(path, files=files, data={"name": name}, headers={"Idempotency-Key": key})


UPLOADS = pytest.mark.parametrize("post", [_post_dataset, _post_model])


@UPLOADS
def test_the_same_upload_under_the_same_key_is_stored_once(each_api: Api, post: Post) -> None:
    first = post(each_api)
    assert first.status_code == 201, first.text
    before = each_api.stored()
    with _writing_delayed(each_api):  # the answer waits for nothing: the upload is not decoded and stored again
        again = post(each_api)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert each_api.stored() == before
    assert post(each_api, key="other").json()["id"] != first.json()["id"]


@pytest.mark.parametrize("content", [LARGE, pictures.zipped({"a.png": LARGE})], ids=["picture", "zip"])
def test_a_file_that_is_hashed_is_stored_whole(api: Api, content: bytes) -> None:
    assert len(content) > 1 << 14
    (image, _) = _post_dataset(api, content=content).json()["images"]
    assert (pictures.pixels(api.client.get(image["url"]).content) == NOISE).all()


@UPLOADS
@pytest.mark.parametrize(
    "change", [{"name": "m"}, {"field": "file"}, {"filename": "c"}, {"content": b"x"}], ids=lambda one: next(iter(one))
)
def test_another_upload_under_the_same_key_is_refused(api: Api, post: Post, change: dict[str, Any]) -> None:
    assert post(api).status_code == 201
    before = api.stored()
    assert "'k' was already used" in problem(post(api, **change), 409)["detail"]
    assert api.stored() == before


def test_only_the_last_byte_of_a_file_differs(api: Api) -> None:
    assert _post_dataset(api).status_code == 201
    problem(_post_dataset(api, content=LARGE[:-1] + b"x"), 409)


def test_a_key_is_of_one_job_dataset_or_model(each_api: Api) -> None:
    dataset = _post_dataset(each_api, "dataset").json()
    assert _post_model(each_api, "model", field="file").status_code == 201
    job = {"kind": "train", "dataset_id": dataset["id"]}
    assert each_api.post(job, "job").status_code == 202
    before = each_api.stored()
    for key, others in (  # the first form is the same for both
        ("model", (_post_model(each_api, "model", field="file", path="/v1/datasets"),)),
        ("dataset", (_post_model(each_api, "dataset"), each_api.post(job, "dataset"))),
        ("model", (_post_dataset(each_api, "model"), each_api.post(job, "model"))),
        ("job", (_post_dataset(each_api, "job"), _post_model(each_api, "job"))),
    ):
        for answer in others:
            assert f"'{key}' was already used" in problem(answer, 409)["detail"]
    assert each_api.stored() == before


@UPLOADS
def test_a_refused_upload_leaves_its_key_free(api: Api, post: Post) -> None:
    before = api.stored()
    problem(post(api, content=b"neither a picture nor a model"), 415, 422)
    assert api.stored() == before
    assert post(api).status_code == 201


@UPLOADS
def test_what_was_deleted_can_be_uploaded_again(each_api: Api, post: Post) -> None:
    before = each_api.stored()
    first = post(each_api)
    assert each_api.client.delete(first.headers["location"]).status_code == 204
    assert each_api.stored() == before
    again = post(each_api)
    assert again.status_code == 201
    assert again.json()["id"] != first.json()["id"]


@UPLOADS
@pytest.mark.parametrize("key", ["", "k" * 256], ids=len)
def test_an_invalid_idempotency_key_is_refused(api: Api, post: Post, key: str) -> None:
    assert fields(post(api, key)) == ["idempotency-key"]


@UPLOADS
def test_concurrent_uploads_under_one_key_leave_one_and_no_other_file(each_api: Api, post: Post) -> None:
    files = len(each_api.stored()[1]) + (2 if post is _post_dataset else 1)
    with ThreadPoolExecutor(RACERS) as pool:
        with _writing_delayed(each_api):
            answers = [pool.submit(post, each_api) for _ in range(RACERS)]
            until(lambda: len(each_api.stored()[1]) == files * RACERS)
        made = [one.result() for one in answers]
    assert [one.status_code for one in made] == [201] * RACERS
    assert len({one.json()["id"] for one in made}) == 1
    counts, left = each_api.stored()
    assert (counts["datasets"] + counts["models"], counts["idempotency_keys"], len(left)) == (1, 1, files)
    assert all(made[0].json()["id"] in path for path in left)


@contextmanager
def _writing_delayed(api: Api) -> Iterator[None]:
    """Have all that would write a row of a dataset or model wait until the end of the block."""
    with api.database.write() as session:
        if session.connection().dialect.name == "postgresql":
            session.execute(text("LOCK TABLE datasets, models IN EXCLUSIVE MODE"))
        yield
