"""Jobs over HTTP: priority, time limits, concurrent requests, and what is deleted when."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import rows
from support.http import Api, fields, problem
from support.valkey import Valkey
from support.waiting import until

from core.jobs import outcomes, requests, running

CLIENTS = 8
DAY = 86_400.0


def _train(dataset_id: str, **more: Any) -> dict[str, Any]:
    return {"kind": "train", "dataset_id": dataset_id, **more}


def _accepted(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(body)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def test_a_higher_priority_comes_first_in_the_queue(each_api: Api, each_dataset: str) -> None:
    priorities = (0, -10, 10, 0)
    made = [_accepted(each_api, _train(each_dataset, priority=priority))["id"] for priority in priorities]
    shown = {job["id"]: job for job in each_api.client.get("/v1/jobs").json()["data"]}
    assert [shown[job_id]["queue_position"] for job_id in made] == [2, 4, 1, 3]
    assert [shown[job_id]["priority"] for job_id in made] == list(priorities)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"priority": 11}, "priority"),
        ({"priority": -11}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"time_limit_seconds": 0}, "time_limit_seconds"),
        ({"time_limit_seconds": -1}, "time_limit_seconds"),
        ({"time_limit_seconds": "long"}, "time_limit_seconds"),
    ],
)
@pytest.mark.parametrize("kind", ["train", "sample"])
def test_an_invalid_priority_or_time_limit_is_refused(
    api: Api, dataset: str, kind: str, given: dict[str, Any], field: str
) -> None:
    of = {"dataset_id": dataset} if kind == "train" else {"model_id": rows.add_model(api.database)}
    assert fields(api.post({"kind": kind, **of, **given})) == [field]


def test_a_job_that_reached_its_time_limit_resumes_with_a_longer_one(each_api: Api, each_dataset: str) -> None:
    job = _accepted(each_api, _train(each_dataset, time_limit_seconds=5))
    assert job["time_limit_seconds"] == 5
    lease = rows.claim(each_api.database)
    rows.alter(each_api.database, job["id"], worked_seconds=6.0)
    outcomes.fail(each_api.database, lease, {"type": "time-limit", "detail": "d"})
    url = f"/v1/jobs/{job['id']}/resume"
    assert "time_limit_seconds" in problem(each_api.client.post(url), 409)["detail"]
    again = each_api.client.post(url, json={"time_limit_seconds": 50})
    assert (again.status_code, again.json()["status"], again.json()["time_limit_seconds"]) == (202, "queued", 50)


def test_a_job_without_its_checkpoint_file_cannot_be_resumed(each_api: Api, each_dataset: str) -> None:
    job = _accepted(each_api, _train(each_dataset))
    lease = rows.claim(each_api.database)
    stored = each_api.blobs.put(lease.path("checkpoint"), b"c")
    running.checkpoint(each_api.database, lease, stored)
    outcomes.fail(each_api.database, lease, {"type": "t", "detail": "d"})
    each_api.blobs.delete(stored.blob)
    assert "checkpoint" in problem(each_api.client.post(f"/v1/jobs/{job['id']}/resume"), 409)["detail"]


def test_of_concurrent_resumes_one_succeeds(each_api: Api, each_dataset: str) -> None:
    job = _accepted(each_api, _train(each_dataset))
    each_api.client.post(f"/v1/jobs/{job['id']}/cancel")
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = pool.map(lambda _: each_api.client.post(f"/v1/jobs/{job['id']}/resume"), range(CLIENTS))
        counts = Counter(answer.status_code for answer in answers)
    assert counts == {202: 1, 409: CLIENTS - 1}


def test_of_different_concurrent_requests_with_one_key_one_succeeds(each_api: Api, each_dataset: str) -> None:
    bodies = [_train(each_dataset, params={"iterations": index}) for index in range(1, CLIENTS + 1)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        counts = Counter(answer.status_code for answer in pool.map(lambda body: each_api.post(body, "k"), bodies))
    assert counts == {202: 1, 409: CLIENTS - 1}
    assert rows.count(each_api.database)["jobs"] == 1


def test_one_key_at_two_apis_creates_one_job(postgresql_api: Api, tmp_path: Path, valkey: Valkey) -> None:
    other = Api(tmp_path, valkey.url, postgresql_api.database.engine.url.render_as_string(hide_password=False))
    apis = (postgresql_api, other)
    dataset_id = rows.add_dataset(other.database).id
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda index: apis[index % 2].post(_train(dataset_id), "k"), range(CLIENTS)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert rows.count(other.database)["jobs"] == 1
    other.stop()


def test_deleting_a_job_frees_its_idempotency_key(api: Api, dataset: str) -> None:
    job = api.post(_train(dataset), "k").json()
    api.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert api.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    again = api.post(_train(dataset), "k")
    assert (again.status_code, again.json()["id"] != job["id"]) == (202, True)


def test_deleting_a_job_breaks_off_the_download_of_its_zip(api: Api) -> None:
    before = api.stored()[1]
    lease = rows.claimed(api.database)
    files = [api.blobs.put(lease.path(f"{name}.png"), bytes(8_000_000)) for name in range(6)]
    artifacts = [rows.NewArtifact(f"{number}.png", "image/png", file) for number, file in enumerate(files)]
    outcomes.succeed(api.database, lease, artifacts, rows.DONE)
    url = f"/v1/jobs/{lease.job_id}/artifacts.zip"
    with api.client.stream("GET", url) as answer:
        pieces = answer.iter_raw(1000)
        next(pieces)
        assert api.client.delete(url.removesuffix("/artifacts.zip")).status_code == 204
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)
    until(api.breakages)  # the response failed, as it must
    assert api.client.get(url).status_code == 404
    assert api.stored()[1] == before


@pytest.fixture(scope="module")
def limited_api(tmp_path_factory: pytest.TempPathFactory, _valkey: Valkey) -> Iterator[Api]:
    """An API that limits the time of jobs and deletes those that ended more than a day ago."""
    folder = tmp_path_factory.mktemp("api-limited")
    api = Api(
        folder,
        _valkey.url,
        f"sqlite:///{folder / 'rows.sqlite3'}",
        GENCONVNET_MAX_JOB_SECONDS="100",
        GENCONVNET_SWEEP_SECONDS="0.1",
        GENCONVNET_KEEP_JOBS_DAYS="1",
    )
    yield api
    api.stop()


def test_the_time_limit_of_all_jobs_applies(limited_api: Api) -> None:
    dataset_id = rows.add_dataset(limited_api.database).id
    assert fields(limited_api.post(_train(dataset_id, time_limit_seconds=101))) == ["time_limit_seconds"]
    assert _accepted(limited_api, _train(dataset_id))["time_limit_seconds"] == 100
    job = _accepted(limited_api, _train(dataset_id, time_limit_seconds=99))
    limited_api.client.post(f"/v1/jobs/{job['id']}/cancel")
    answer = limited_api.client.post(f"/v1/jobs/{job['id']}/resume", json={"time_limit_seconds": 101})
    assert fields(answer) == ["time_limit_seconds"]


def test_the_api_deletes_old_jobs_by_itself(limited_api: Api) -> None:
    old, recent = (rows.accept(limited_api.database) for _ in range(2))
    for job_id in (old, recent):
        requests.cancel(limited_api.database, job_id)
    rows.alter(limited_api.database, old, finished_at=time.time() - 1.1 * DAY)
    until(lambda: limited_api.client.get(f"/v1/jobs/{old}").status_code == 404)
    assert limited_api.client.get(f"/v1/jobs/{recent}").status_code == 200
