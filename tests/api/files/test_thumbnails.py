"""Thumbnails of pictures: made once, small, and gone with their picture."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import pictures, rows
from support.http import Api, problem

from core.jobs import outcomes, previews
from core.jobs.previews import NewPreview
from core.jobs.results import NewArtifact
from core.storage.blobs import thumbnail_path


def _noise(width: int, height: int, channels: int) -> bytes:
    array = np.random.default_rng(1).integers(0, 255, (height, width, channels), dtype=np.uint8)
    array[: height // 2] = 200
    array[..., 3:] = 255
    array[-50:, :, 3:] = 0
    return pictures.encoded(Image.fromarray(array.squeeze()), "PNG")


def _job_with(api: Api, width: int, height: int, content: bytes) -> dict[str, Any]:
    lease = rows.claimed(api.database)
    result = NewArtifact("a.png", "image/png", api.blobs.put(lease.path("a.png"), content), width, height)
    text = NewArtifact("a.json", "application/json", api.blobs.put(lease.path("a.json"), b"{}"))
    kept = api.blobs.put(lease.path("preview-kept-1.png"), content)
    previews.add(api.database, lease, NewPreview(1, 1, 1, width, height, kept))
    outcomes.succeed(api.database, lease, [result, text], rows.DONE)
    job: dict[str, Any] = api.client.get(f"/v1/jobs/{lease.job_id}").json()
    return job


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_large_pictures_thumbnail_is_small_webp_and_made_once(each_api: Api, channels: int) -> None:
    made = each_api.upload(("a.png", _noise(600, 300, channels))).json()
    (shown,) = made["images"]
    assert shown["thumbnail_url"] == f"{shown['url']}/thumbnail"
    before = each_api.stored()[1]
    answer = each_api.client.get(shown["thumbnail_url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    with Image.open(io.BytesIO(answer.content)) as thumbnail:
        assert thumbnail.size == (384, 192)
        assert thumbnail.has_transparency_data == (channels in (2, 4))
        assert abs(np.asarray(thumbnail.convert("L"))[:80].mean() - 200) < 3
    assert len(answer.content) < shown["bytes"] / 3
    (made_file,) = each_api.stored()[1] - before
    assert each_api.client.get(shown["thumbnail_url"]).content == answer.content
    head = each_api.client.head(shown["thumbnail_url"])
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(answer.content)))
    etag = answer.headers["etag"]
    assert head.headers["etag"] == etag != each_api.client.head(shown["url"]).headers["etag"]
    again = each_api.client.get(shown["thumbnail_url"], headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert each_api.client.delete(f"/v1/datasets/{made['id']}").status_code == 204
    assert made_file not in each_api.stored()[1]
    problem(each_api.client.get(shown["thumbnail_url"], headers={"If-None-Match": etag}), 404)


def test_a_small_picture_is_its_own_thumbnail(api: Api) -> None:
    content = pictures.png()
    job = _job_with(api, 8, 8, content)
    text, picture = job["artifacts"]
    assert text["thumbnail_url"] is None
    assert picture["thumbnail_url"] == picture["url"]
    assert api.client.get(f"{picture['url']}/thumbnail").content == content
    problem(api.client.get(f"{text['url']}/thumbnail"), 404)
    noisy = _job_with(api, 300, 300, _noise(300, 300, 3))["artifacts"][1]
    with Image.open(io.BytesIO(api.client.get(noisy["thumbnail_url"]).content)) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("WEBP", (300, 300)), "many bytes, but not enlarged"


def test_thumbnails_of_artifacts_and_previews_go_with_the_job(api: Api) -> None:
    before = api.stored()[1]
    job = _job_with(api, 400, 100, _noise(400, 100, 3))
    (preview,) = api.client.get(f"/v1/jobs/{job['id']}/previews").json()["data"]
    for url in (job["artifacts"][1]["thumbnail_url"], preview["thumbnail_url"]):
        with Image.open(io.BytesIO(api.client.get(url).content)) as thumbnail:
            assert thumbnail.size == (384, 96)
    assert api.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert api.stored()[1] == before


def test_the_largest_canvas_fits_into_the_decoder_and_other_requests_are_served_meanwhile(api: Api) -> None:
    side = 8192
    content = io.BytesIO()
    Image.new("RGB", (side, side), (9, 99, 199)).save(content, "PNG", compress_level=1)
    job = _job_with(api, side, side, content.getvalue())
    url = f"{api.client.base_url}{job['artifacts'][1]['thumbnail_url']}"
    with ThreadPoolExecutor(50) as threads:  # more than the server has threads
        waiting = [threads.submit(api.client.get, url) for _ in range(50)]
        assert api.client.get("/v1/jobs").status_code == 200
        assert not all(one.done() for one in waiting)
        found = [one.result() for one in waiting]
    assert {one.content for one in found} == {found[0].content}
    with Image.open(io.BytesIO(found[0].content)) as thumbnail:
        assert thumbnail.size == (384, 384)


def test_a_broken_file_has_no_thumbnail_and_a_missing_one_is_not_found(api: Api) -> None:
    job = _job_with(api, 400, 100, b"\x89PNG\r\n\x1a\nno picture")
    picture = job["artifacts"][1]
    assert "no thumbnail" in problem(api.client.get(picture["thumbnail_url"]), 422)["detail"]
    paths = [path for path in api.blobs.paths() if path.endswith("/a.png")]
    api.blobs.delete(*paths)
    problem(api.client.get(picture["thumbnail_url"]), 404)
    assert not any(api.blobs.exists(thumbnail_path(path)) for path in paths)
