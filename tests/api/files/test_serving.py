"""Downloads: ETag, Range, HEAD, and all of a job's files as one zip."""

import io
import zipfile
from dataclasses import replace

import pytest
from support import rows
from support.http import Api, fields, problem

from core.jobs import outcomes, previews, requests
from core.jobs.previews import NewPreview
from core.jobs.results import NewArtifact

CONTENT = bytes(range(256)) * 9000  # more than one chunk
SIZE = len(CONTENT)


def _succeeded_job(api: Api, **files: bytes) -> str:
    """Return the id of a succeeded job with these files; `_` stands for the dot of a name."""
    lease = rows.claimed(api.database)
    results = []
    for name, content in files.items():
        stored = api.blobs.put(lease.path(name), content)
        results.append(NewArtifact(name.replace("_", "."), "image/png", stored, 3, 4))
    outcomes.succeed(api.database, lease, results, rows.DONE)
    return lease.job_id


@pytest.fixture
def url(api: Api) -> str:
    return f"/v1/jobs/{_succeeded_job(api, a_png=CONTENT)}/artifacts/a.png"


def test_a_file_matches_its_entry_in_the_job(api: Api, url: str) -> None:
    (shown,) = api.client.get(url.rsplit("/", 2)[0]).json()["artifacts"]
    answer = api.client.get(shown["url"])
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert shown["url"] == url
    assert (shown["bytes"], shown["width"], shown["height"]) == (SIZE, 3, 4)
    assert answer.headers["etag"] == f'"{shown["sha256"]}"'
    assert answer.headers["content-type"] == shown["media_type"] == "image/png"
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_previews_are_listed_and_served(api: Api) -> None:
    lease = rows.claimed(api.database)
    for step in (4, 20):
        stored = api.blobs.put(lease.path(f"preview-kept-{step}.png"), b"%d" % step)
        previews.add(api.database, lease, NewPreview(step, 2, step - 3, 3, 4, stored))
    listed = api.client.get(f"/v1/jobs/{lease.job_id}/previews").json()["data"]
    assert [(one["stage"], one["iteration"], one["width"], one["height"]) for one in listed] == [
        (2, 1, 3, 4),
        (2, 17, 3, 4),
    ]
    for one, content in zip(listed, (b"4", b"20"), strict=True):
        answer = api.client.get(one["url"])
        assert (answer.content, answer.headers["etag"]) == (content, f'"{one["sha256"]}"')
        again = api.client.get(one["url"], headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    problem(api.client.get(f"/v1/jobs/{lease.job_id}/previews/5"), 404)
    problem(api.client.get("/v1/jobs/none/previews"), 404)


def test_head_sends_the_headers_without_the_file(api: Api, url: str) -> None:
    whole, head = api.client.get(url), api.client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for header in ("etag", "content-length", "content-type", "accept-ranges", "content-disposition"):
        assert head.headers[header] == whole.headers[header]
    assert api.client.head(url + "x").status_code == 404


def test_a_cached_file_is_not_sent_again(api: Api, url: str) -> None:
    etag = api.client.get(url).headers["etag"]
    for given in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = api.client.get(url, headers={"If-None-Match": given})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert api.client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("0-0", 0, 1),
        ("5-99", 5, 100),
        ("100-", 100, SIZE),
        ("-7", SIZE - 7, SIZE),
        (f"-{SIZE + 5}", 0, SIZE),
        (f"10-{SIZE * 5}", 10, SIZE),
        (f"{SIZE - 1}-", SIZE - 1, SIZE),
        ("1000000-1100000", 1_000_000, 1_100_001),
    ],
)
def test_a_range_is_sent(api: Api, url: str, asked: str, start: int, stop: int) -> None:
    answer = api.client.get(url, headers={"Range": f"bytes={asked}"})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"


@pytest.mark.parametrize("asked", [f"{SIZE}-", f"{SIZE}-{SIZE + 9}", "-0", "9" * 18 + "-"])
def test_a_range_outside_the_file_is_refused(api: Api, url: str, asked: str) -> None:
    answer = api.client.get(url, headers={"Range": f"bytes={asked}"})
    problem(answer, 416)
    assert answer.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=-", "lines=1-2", "bytes=a-b", "bytes=" + "9" * 5000 + "-"])
def test_an_invalid_range_is_ignored(api: Api, url: str, asked: str) -> None:
    answer = api.client.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_if_range_of_another_version_sends_the_whole_file(api: Api, url: str) -> None:
    etag = api.client.get(url).headers["etag"]
    same = api.client.get(url, headers={"Range": "bytes=0-0", "If-Range": etag})
    other = api.client.get(url, headers={"Range": "bytes=0-0", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)


def test_a_missing_file_is_not_found(api: Api, url: str) -> None:
    api.blobs.delete(requests.find(api.database, url.split("/")[3]).artifacts[0].blob)
    problem(api.client.get(url), 404)
    problem(api.client.get(url, headers={"Range": "bytes=5-9"}), 404)


def test_an_empty_file_is_sent(api: Api) -> None:
    url = f"/v1/jobs/{_succeeded_job(api, e_png=b'')}/artifacts/e.png"
    answer = api.client.get(url)
    assert (answer.status_code, answer.content) == (200, b"")
    problem(api.client.get(url, headers={"Range": "bytes=0-"}), 416)


@pytest.mark.parametrize("name", ["b.png", "%2e%2e%2fa.png", "%00", "a.png%00"])
def test_an_unknown_artifact_is_not_found(each_api: Api, name: str) -> None:
    job_id = _succeeded_job(each_api, a_png=b"abc")
    problem(each_api.client.get(f"/v1/jobs/{job_id}/artifacts/{name}"), 404)


def test_all_files_are_sent_as_one_zip(each_api: Api) -> None:
    job_id = _succeeded_job(each_api, a_png=CONTENT, b_png=b"second", c_png=b"")
    answer = each_api.client.get(f"/v1/jobs/{job_id}/artifacts.zip")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert job_id[-6:] in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a.png": CONTENT,
            "b.png": b"second",
            "c.png": b"",
        }
    problem(each_api.client.get("/v1/jobs/job_none/artifacts.zip"), 404)


def test_files_of_several_jobs_are_sent_as_one_zip(each_api: Api) -> None:
    first, second = _succeeded_job(each_api, a_png=CONTENT, b_png=b"b"), _succeeded_job(each_api, a_png=b"other")
    pairs = [f"{second}/a.png", f"{first}/a.png", f"{first}/a.png"]
    answer = each_api.client.get("/v1/artifacts.zip", params={"artifact": pairs})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"a-{second[-6:]}.png": b"other",
            f"a-{first[-6:]}.png": CONTENT,
        }
    missing = each_api.client.get("/v1/artifacts.zip", params={"artifact": [pairs[0], f"{second}/b.png"]})
    assert f"{second}/artifacts/b.png" in problem(missing, 404)["detail"]


def test_five_hundred_files_fit_into_one_zip_and_no_more(api: Api) -> None:
    lease = rows.claimed(api.database)
    stored, names = (
        api.blobs.put(lease.path("a.png"), b"abc"),
        [f"synthesized-{number:03d}.png" for number in range(501)],
    )
    outcomes.succeed(api.database, lease, [NewArtifact(name, "image/png", stored, 3, 4) for name in names], rows.DONE)
    pairs = [f"{lease.job_id}/{name}" for name in names]
    answer = api.client.get("/v1/artifacts.zip", params={"artifact": pairs[:500]})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == [f"{name.removesuffix('.png')}-{lease.job_id[-6:]}.png" for name in names[:500]]
    assert fields(api.client.get("/v1/artifacts.zip", params={"artifact": pairs})) == ["artifact"]


@pytest.mark.parametrize("pair", ["", "a.png", "/a.png", "job/", "job/a/b", "job/\0", "../a/b", "job/" + "a" * 101])
def test_a_malformed_name_of_a_file_is_refused(api: Api, pair: str) -> None:
    assert fields(api.client.get("/v1/artifacts.zip", params={"artifact": pair})) == ["artifact[0]"]
    assert fields(api.client.get("/v1/artifacts.zip")) == ["artifact"]


def test_the_zip_of_a_job_without_files_is_empty(api: Api) -> None:
    answer = api.client.get(f"/v1/jobs/{rows.accept(api.database)}/artifacts.zip")
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == []


def test_a_model_is_downloaded_and_deleted_with_its_file(each_api: Api) -> None:
    lease = rows.claimed(each_api.database)
    model = replace(rows.new_model(), stored=each_api.blobs.put(lease.path("m"), CONTENT))
    outcomes.succeed(each_api.database, lease, [], rows.DONE, model=model)
    shown = each_api.client.get(f"/v1/models/{model.id}").json()
    assert (shown["bytes"], shown["job_id"]) == (SIZE, lease.job_id)
    assert each_api.client.get("/v1/models").json()["data"] == [shown]
    answer = each_api.client.get(shown["url"])
    assert answer.content == CONTENT
    assert answer.headers["content-disposition"] == f'attachment; filename="model-{model.id[-6:]}.safetensors"'
    job = each_api.post({"kind": "sample", "model_id": model.id}).json()
    problem(each_api.client.delete(f"/v1/models/{model.id}"), 409)
    each_api.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert each_api.client.delete(f"/v1/models/{model.id}").status_code == 204
    problem(each_api.client.get(shown["url"]), 404)
    problem(each_api.client.get(f"/v1/models/{model.id}"), 404)
