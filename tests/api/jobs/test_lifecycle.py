"""A job's turn, limits and end over HTTP; what is kept, and what a killed API leaves behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from support import pictures, rows
from support.http import Api, fields, problem
from support.postgres import PostgresServer
from support.valkey import Valkey
from support.waiting import until

from core.jobs import outcomes, running
from core.storage.tables import AuditEntry

POSTERS = 8
DAY = 86_400.0


def _train(dataset_id: str, **more: Any) -> dict[str, Any]:
    return {"kind": "train", "dataset_id": dataset_id, **more}


def _accepted(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(body)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def test_the_higher_priority_stands_before_the_others(each_api: Api, each_dataset: str) -> None:
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
def test_a_turn_or_limit_that_cannot_be_is_refused_by_its_name(
    api: Api, dataset: str, kind: str, given: dict[str, Any], field: str
) -> None:
    of = {"dataset_id": dataset} if kind == "train" else {"model_id": rows.add_model(api.database)}
    assert fields(api.post({"kind": kind, **of, **given})) == [field]


def test_a_job_whose_time_was_up_goes_on_with_more(each_api: Api, each_dataset: str) -> None:
    job = _accepted(each_api, _train(each_dataset, time_limit_seconds=5))
    assert job["time_limit_seconds"] == 5
    held = rows.claim(each_api.database)
    rows.alter(each_api.database, job["id"], worked_seconds=6.0)
    outcomes.fail(each_api.database, held, {"type": "time-limit", "detail": "d"})
    url = f"/v1/jobs/{job['id']}/resume"
    assert "time_limit_seconds" in problem(each_api.client.post(url), 409)["detail"]
    again = each_api.client.post(url, json={"time_limit_seconds": 50})
    assert (again.status_code, again.json()["status"], again.json()["time_limit_seconds"]) == (202, "queued", 50)


def test_a_job_whose_checkpoint_is_gone_does_not_go_on(each_api: Api, each_dataset: str) -> None:
    job = _accepted(each_api, _train(each_dataset))
    held = rows.claim(each_api.database)
    stored = each_api.blobs.put(held.path("checkpoint"), b"c")
    running.checkpoint(each_api.database, held, stored)
    outcomes.fail(each_api.database, held, {"type": "t", "detail": "d"})
    each_api.blobs.delete(stored.blob)
    assert "checkpoint" in problem(each_api.client.post(f"/v1/jobs/{job['id']}/resume"), 409)["detail"]


def test_of_many_who_resume_at_once_one_does(each_api: Api, each_dataset: str) -> None:
    job = _accepted(each_api, _train(each_dataset))
    each_api.client.post(f"/v1/jobs/{job['id']}/cancel")
    with ThreadPoolExecutor(POSTERS) as pool:
        answers = pool.map(lambda _: each_api.client.post(f"/v1/jobs/{job['id']}/resume"), range(POSTERS))
        counts = Counter(answer.status_code for answer in answers)
    assert counts == {202: 1, 409: POSTERS - 1}


def test_one_key_for_many_requests_at_once_is_one_of_them(each_api: Api, each_dataset: str) -> None:
    bodies = [_train(each_dataset, params={"iterations": index}) for index in range(1, POSTERS + 1)]
    with ThreadPoolExecutor(POSTERS) as pool:
        counts = Counter(answer.status_code for answer in pool.map(lambda body: each_api.post(body, "k"), bodies))
    assert counts == {202: 1, 409: POSTERS - 1}
    assert rows.count(each_api.database)["jobs"] == 1


def test_one_key_at_two_apis_makes_one_job(tmp_path: Path, valkey: Valkey, postgres_server: PostgresServer) -> None:
    with postgres_server.fresh() as url:
        apis = [Api(tmp_path, valkey.url, url) for _ in range(2)]
        dataset = apis[0].upload(("a.png", pictures.png())).json()["id"]
        with ThreadPoolExecutor(POSTERS) as pool:
            answers = list(pool.map(lambda index: apis[index % 2].post(_train(dataset), "k"), range(POSTERS)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert rows.count(apis[0].database)["jobs"] == 1
        for api in apis:
            api.stop()


def test_a_key_is_forgotten_with_its_job(api: Api, dataset: str) -> None:
    job = api.post(_train(dataset), "k").json()
    api.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert api.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    again = api.post(_train(dataset), "k")
    assert (again.status_code, again.json()["id"] != job["id"]) == (202, True)


def test_a_job_deleted_while_its_files_are_read_is_no_whole_archive(own_api: Api) -> None:
    held = rows.claimed(own_api.database)
    files = [own_api.blobs.put(held.path(f"{name}.png"), bytes(8_000_000)) for name in range(6)]
    artifacts = [rows.NewArtifact(f"{number}.png", "image/png", file) for number, file in enumerate(files)]
    outcomes.succeed(own_api.database, held, artifacts, rows.DONE)
    url = f"/v1/jobs/{held.job_id}/artifacts.zip"
    with own_api.client.stream("GET", url) as answer:
        pieces = answer.iter_raw(1000)
        next(pieces)
        assert own_api.client.delete(url.removesuffix("/artifacts.zip")).status_code == 204
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)
    assert own_api.client.get(url).status_code == 404
    assert own_api.stored()[1] == set()


def test_without_room_on_the_disk_nothing_is_accepted_and_nothing_kept(tmp_path: Path, valkey: Valkey) -> None:
    folder = tmp_path / "api"
    folder.mkdir()
    api = Api(folder, valkey.url, f"sqlite:///{folder / 'rows.sqlite3'}", GENCONVNET_MIN_FREE_BYTES=str(1 << 60))
    told = problem(api.upload(("a.png", pictures.png())), 507)
    assert str(1 << 60) in told["detail"]
    dataset = rows.add_dataset(api.database)
    problem(api.post(_train(dataset.id)), 507)
    rows_kept, files = api.stored()
    assert (rows_kept["jobs"], rows_kept["datasets"], files) == (0, 1, set())
    assert api.client.get("/v1/datasets").status_code == 200, "what is there can be read, and deleted"
    assert api.client.delete(f"/v1/datasets/{dataset.id}").status_code == 204
    api.stop()


def test_no_job_asks_for_more_time_than_there_is_and_each_has_it(tmp_path: Path, valkey: Valkey) -> None:
    api = Api(tmp_path, valkey.url, f"sqlite:///{tmp_path / 'rows.sqlite3'}", GENCONVNET_MAX_JOB_SECONDS="100")
    dataset = rows.add_dataset(api.database).id
    assert fields(api.post(_train(dataset, time_limit_seconds=101))) == ["time_limit_seconds"]
    assert _accepted(api, _train(dataset))["time_limit_seconds"] == 100
    job = _accepted(api, _train(dataset, time_limit_seconds=99))
    api.client.post(f"/v1/jobs/{job['id']}/cancel")
    more = api.client.post(f"/v1/jobs/{job['id']}/resume", json={"time_limit_seconds": 101})
    assert fields(more) == ["time_limit_seconds"]
    api.stop()


def test_an_api_killed_in_mid_upload_leaves_only_what_is_swept(own_api: Api) -> None:
    parts = [(f"{index}.png", pictures.png(900, 900)) for index in range(12)]
    folder = own_api.data_dir / "blobs"
    gone = own_api.upload(("gone.png", pictures.png())).json()
    own_api.client.delete(f"/v1/datasets/{gone['id']}").raise_for_status()

    def upload() -> None:
        with pytest.raises(httpx.HTTPError):
            own_api.upload(*parts)

    uploading = threading.Thread(target=upload)
    uploading.start()
    until(lambda: own_api.stored()[1])
    own_api.process.send_signal(signal.SIGKILL)
    uploading.join()
    left, files = own_api.stored()
    assert left["datasets"] == 0
    assert files
    assert "0 orphaned files" in _sweep(own_api, "--dry-run"), "they may yet be named"
    _days_pass(own_api, 2)
    told = _sweep(own_api, "--dry-run")
    assert f"{len(files)} orphaned files" in told
    assert own_api.stored()[1] == files
    assert _sweep(own_api).replace("were deleted", "would be deleted") == told
    assert own_api.stored()[1] == set()
    _days_pass(own_api, 2)
    _sweep(own_api)
    assert [path for path in folder.rglob("*") if path.parent.name == "datasets"] == []
    assert "0 files are missing" in _sweep(own_api, "--check")


def test_the_api_sweeps_of_itself(tmp_path: Path, valkey: Valkey) -> None:
    kept = {"GENCONVNET_SWEEP_SECONDS": "0.1", "GENCONVNET_KEEP_JOBS_DAYS": "1"}
    api = Api(tmp_path, valkey.url, f"sqlite:///{tmp_path / 'rows.sqlite3'}", **kept)
    old, young = rows.claimed(api.database), None
    outcomes.fail(api.database, old, {"type": "t", "detail": "d"})
    young = rows.accept(api.database)
    rows.alter(api.database, old.job_id, finished_at=time.time() - 90_000)
    until(lambda: api.client.get(f"/v1/jobs/{old.job_id}").status_code == 404)
    assert api.client.get(f"/v1/jobs/{young}").status_code == 200
    api.stop()


def _days_pass(api: Api, days: float) -> None:
    """What is there grows older by so many."""
    then = time.time() - days * DAY
    for path in (api.data_dir / "blobs").rglob("*"):
        os.utime(path, (then, then))
    with api.database.write() as session:
        session.execute(update(AuditEntry).values(at=AuditEntry.at - (days + 1) * DAY))


def _sweep(api: Api, *options: str) -> str:
    """What `genconvnet sweep` prints."""
    about = {
        "GENCONVNET_DATA_DIR": str(api.data_dir),
        "GENCONVNET_DATABASE_URL": api.database.engine.url.render_as_string(hide_password=False),
    }
    command = [str(Path(sys.executable).with_name("genconvnet")), "sweep", *options]
    done = subprocess.run(command, env={**os.environ, **about}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
