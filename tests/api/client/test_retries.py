"""What the client does if connections break and the service is busy: real requests through a proxy with faults."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image
from support import pictures
from support.faulty_proxy import FaultyProxy, Lost, Refused
from support.http import Api
from support.models import model_file

from api.client import AsyncClient, Client, Dataset, LimitReached, Model, NoAnswer, ServiceFailed
from api.client.uploads import PictureSource

NOISE = np.random.default_rng(1).integers(0, 256, (160, 160), dtype=np.uint8)
LARGE = pictures.encoded(Image.fromarray(NOISE), "PNG")  # the service holds it on disk; a pipe holds it whole
Posts = Callable[[str, str], str]


def _post(url: str, dataset_id: str) -> str:
    with Client(url) as client:
        return client.train(client.datasets.show(dataset_id)).id


def _post_async(url: str, dataset_id: str) -> str:
    async def post() -> str:
        async with AsyncClient(url) as client:
            return (await client.train(await client.datasets.show(dataset_id))).id

    return asyncio.run(post())


@pytest.mark.parametrize("post", [_post, _post_async])
def test_a_job_whose_answer_was_lost_is_posted_again_and_there_only_once(api: Api, dataset: str, post: Posts) -> None:
    with FaultyProxy(api.port, None, Lost(), Refused(), Refused(429)) as proxy:
        job_id = post(proxy.url, dataset)
    assert [one["id"] for one in api.client.get("/v1/jobs").json()["data"]] == [job_id]
    posts = [seen for seen in proxy.seen if seen.method == "POST"]
    assert (len(posts), len({seen.headers["idempotency-key"] for seen in posts})) == (4, 1)


def _content(_: Path) -> bytes:
    return LARGE


def _path(folder: Path) -> Path:
    path = folder / "a.png"
    path.write_bytes(LARGE)
    return path


def _open_file(folder: Path) -> IO[bytes]:
    return _path(folder).open("rb")


def _pipe(_: Path) -> IO[bytes]:
    """Return the reading end of a pipe through which the picture comes: it can be read once."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(LARGE)
    return os.fdopen(reading, "rb")


def _pipe_by_path(folder: Path) -> Path:
    """Return the path of a named pipe, through which the picture comes."""
    path = folder / "a.png"
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=(LARGE,), daemon=True).start()
    return path


def _upload(url: str, picture: PictureSource) -> Dataset:
    with Client(url) as client:
        return client.upload(picture, name="bricks")


def _upload_async(url: str, picture: PictureSource) -> Dataset:
    async def upload() -> Dataset:
        async with AsyncClient(url) as client:
            return await client.datasets.create(picture, name="bricks")

    return asyncio.run(upload())


@pytest.mark.parametrize("source", [_content, _path, _open_file, _pipe, _pipe_by_path])
@pytest.mark.parametrize("upload", [_upload, _upload_async])
def test_an_upload_whose_answer_was_lost_is_sent_again_and_there_only_once(
    api: Api, tmp_path: Path, source: Callable[[Path], PictureSource], upload: Callable[[str, PictureSource], Dataset]
) -> None:
    picture = source(tmp_path)
    with FaultyProxy(api.port, Refused(), Lost(), Refused(429)) as proxy:
        dataset = upload(proxy.url, picture)
    if not isinstance(picture, bytes | Path):
        picture.close()
    assert [one["id"] for one in api.client.get("/v1/datasets").json()["data"]] == [dataset.id]
    assert (pictures.pixels(api.client.get(dataset.images[0].url).content) == NOISE).all()
    _check_sent_under_one_key(proxy, 4)


def _import(url: str, path: Path) -> Model:
    with Client(url) as client:
        return client.models.import_(path, name="bricks")


def _import_async(url: str, path: Path) -> Model:
    async def send() -> Model:
        async with AsyncClient(url) as client:
            return await client.models.import_(path, name="bricks")

    return asyncio.run(send())


@pytest.mark.parametrize("send", [_import, _import_async])
def test_a_model_whose_answer_was_lost_is_sent_again_and_there_only_once(
    api: Api, tmp_path: Path, send: Callable[[str, Path], Model]
) -> None:
    path = tmp_path / "bricks.safetensors"
    path.write_bytes(model_file())
    with FaultyProxy(api.port, Lost(), Refused()) as proxy:
        model = send(proxy.url, path)
    assert [one["id"] for one in api.client.get("/v1/models").json()["data"]] == [model.id]
    assert api.client.get(f"/v1/models/{model.id}/download").content == path.read_bytes()
    _check_sent_under_one_key(proxy, 3)


def _check_sent_under_one_key(proxy: FaultyProxy, times: int) -> None:
    assert [seen.method for seen in proxy.seen] == ["POST"] * times
    assert len({seen.headers["idempotency-key"] for seen in proxy.seen}) == 1


def test_each_upload_has_a_key_of_its_own(api: Api) -> None:
    with FaultyProxy(api.port) as proxy, Client(proxy.url) as client:
        assert client.upload(LARGE).id != client.upload(LARGE).id
    assert len({seen.headers["idempotency-key"] for seen in proxy.seen}) == 2


@pytest.mark.parametrize(("fault", "raised"), [(Lost(), NoAnswer), (Refused(), ServiceFailed)])
def test_a_deletion_is_not_repeated_because_it_may_have_been_done(
    api: Api, dataset: str, fault: Lost | Refused, raised: type[Exception]
) -> None:
    with FaultyProxy(api.port, fault) as proxy, Client(proxy.url) as client, pytest.raises(raised):
        client.datasets.delete(dataset)
    assert len(proxy.seen) == 1


def test_a_wait_that_is_longer_than_the_client_is_patient_is_not_begun(api: Api) -> None:
    with FaultyProxy(api.port, Refused(429, "3600")) as proxy, Client(proxy.url) as client:
        with pytest.raises(LimitReached) as refused:
            client.presets.list()
        assert (refused.value.status, refused.value.retry_after) == (429, 3600)
    assert len(proxy.seen) == 1
