"""A job of many pictures, drawn by two workers: the pictures of one, whatever is killed meanwhile."""

from typing import Any

import psutil
import pytest
from acceptance.conftest import Service
from support import rows

from core.runtime.settings import Settings
from core.storage.database import Database
from core.storage.tables import Job

COUNT, SHARD = 24, 8
SEED = 11
SIZE = {"width": 208, "height": 192}  # so many pixels that threads share the sums over them


@pytest.fixture
def two(serve) -> Service:
    return serve(GENCONVNET_SAMPLE_WORKERS="2", GENCONVNET_LEASE_SECONDS="3")


def learned(service: Service) -> str:
    job = service.ended(service.train(service.upload()))
    assert job["status"] == "succeeded", job
    return job["model_id"]


def asked(model_id: str, count: int = COUNT, seed: int = SEED, steps: int = 10, **size: int) -> dict[str, Any]:
    params = {"count": count, "width": 40, "height": 32, "steps": steps, "seed": seed, **size}
    return {"kind": "sample", "model_id": model_id, "params": params}


def drawn(service: Service, body: dict[str, Any]) -> list[bytes]:
    return pictures(service, service.ended(service.accepted(body)["id"]))


def pictures(service: Service, job: dict[str, Any]) -> list[bytes]:
    """A job's pictures in their order, each there once."""
    assert (job["status"], job["progress"]["fraction"]) == ("succeeded", 1.0), job
    names = [f"synthesized-{index:03d}.png" for index in range(job["params"]["count"])]
    assert [one["name"] for one in job["artifacts"]] == names
    return [service.client.get(one["url"]).raise_for_status().content for one in job["artifacts"]]


def shards(service: Service, job_id: str) -> list[Job]:
    database = Database(Settings(data_dir=service.data_dir).rows_url)
    try:
        return rows.shards(database, job_id)
    finally:
        database.dispose()


def at_work(service: Service, job_id: str) -> dict[str, Job]:
    """By the names of the workers that draw, their shards."""
    return {shard.worker: shard for shard in shards(service, job_id) if shard.worker is not None}


def test_the_pictures_do_not_depend_on_who_draws_them(serve, two: Service) -> None:
    model_id = learned(two)
    workers = [one for one in psutil.Process(two.process.pid).children() if "sample" in one.cmdline()]
    assert len(workers) == 2
    body = asked(model_id, **SIZE)
    with two.client.stream("GET", f"/v1/jobs/{two.accepted(body)['id']}/events") as stream:
        heard = [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]
    assert (heard[0], heard[-1], heard.count("done")) == ("status", "done", 1)
    assert "progress" in heard
    by_two = drawn(two, body)
    assert len(set(by_two)) == COUNT
    unsplit = [drawn(two, asked(model_id, SHARD, SEED + first, **SIZE)) for first in range(0, COUNT, SHARD)]
    assert [one for some in unsplit for one in some] == by_two
    two.stop()
    one = serve(GENCONVNET_THREADS="2")  # those had one each
    assert drawn(one, body) == by_two


def test_a_killed_workers_shard_is_drawn_again_and_no_other(two: Service) -> None:
    model_id = learned(two)
    body = asked(model_id, steps=1000)
    job_id = two.accepted(body)["id"]
    two.wait(job_id, lambda job: len(job["artifacts"]) > 0 and len(at_work(two, job_id)) == 2)
    name, lost = next(iter(at_work(two, job_id).items()))
    worker = psutil.Process(int(name.split(":")[1]))
    family = [worker, *worker.children(recursive=True)]
    worker.kill()
    psutil.wait_procs(family, timeout=10)
    job = two.ended(job_id)
    found = pictures(two, job)
    assert job["attempt"] == 2
    attempts = {shard.id: shard.attempt for shard in shards(two, job_id)}
    assert attempts == {**dict.fromkeys(attempts, 1), lost.id: 2}
    assert drawn(two, body) == found


def test_a_wiped_broker_and_a_restart_lose_no_shard(serve, two: Service) -> None:
    body = asked(learned(two), steps=200)
    job_id = two.accepted(body)["id"]
    two.wait(job_id, lambda job: len(job["artifacts"]) > 0)
    two.part("valkey-server").kill()
    for file in (two.data_dir / "broker").rglob("*"):
        if file.is_file():
            file.unlink()
    two.wait(job_id, lambda job: len(job["artifacts"]) > 2)
    two.stop()
    handed_back = shards(two, job_id)
    assert {shard.status for shard in handed_back} <= {"queued", "succeeded"}
    again = serve()
    found = pictures(again, again.ended(job_id))
    assert {shard.status for shard in shards(again, job_id)} == {"succeeded"}
    assert drawn(again, body) == found


def test_a_canceled_job_frees_its_workers_and_leaves_nothing_when_deleted(two: Service) -> None:
    model_id = learned(two)
    job_id = two.accepted(asked(model_id, steps=100_000))["id"]
    two.wait(job_id, lambda _: len(at_work(two, job_id)) == 2)
    assert two.client.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "canceled"
    assert two.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    drawn(two, asked(model_id, count=2))
    listed = two.client.get("/v1/jobs", params={"kind": "sample"}).json()["data"]
    assert [job["params"]["count"] for job in listed] == [2]
    assert not [path for path in (two.data_dir / "blobs").rglob("shard_*/**/*") if path.is_file()]
