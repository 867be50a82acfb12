"""A job of many pictures, split between two workers, on PostgreSQL and S3: it makes the pictures of one worker,
whatever is killed, stopped and started again.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest
from chaos.rig import SAMPLE_1, SAMPLE_2, WORKERS, Rig
from support import rows
from support.client import ServiceClient
from support.postgres import PostgresServer
from support.s3 import S3
from support.service import slowed

from core.storage.blobs import Blobs
from core.storage.tables import Job

COUNT, SHARD = 16, 8
SEED = 11
BUCKET = "service"
LARGE = {"width": 184, "height": 180}  # so many pixels that threads share the sums over them


@pytest.fixture(scope="module")
def storage(postgres_server: PostgresServer, s3_server: S3) -> Iterator[dict[str, str]]:
    """The settings of a service on PostgreSQL and S3; how to reach S3 is in this process's environment too."""
    blobs = s3_server.make_bucket(BUCKET)
    with postgres_server.fresh() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        yield {"database_url": url, "GENCONVNET_BLOB_URL": blobs}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, storage: dict[str, str]) -> Iterator[Callable[..., Rig]]:
    """A function that starts a service with these workers, of so many threads each, on the same storage."""
    started: list[Rig] = []

    def start(*only: str, threads: int) -> Rig:
        rig = Rig(tmp_path_factory.mktemp("rig"), only=only, GENCONVNET_THREADS=str(threads), **storage)
        started.append(rig)
        rig.start()
        return rig

    yield start
    for rig in started:
        rig.close()


@pytest.fixture(scope="module")
def two(start: Callable[..., Rig]) -> Rig:
    """A service with two sampling workers, of one thread each."""
    return start(*WORKERS, threads=1)


@pytest.fixture(scope="module")
def trained(two: Rig) -> dict[str, Any]:
    return two.client.succeeded(two.client.train(iterations=10))


@pytest.fixture(scope="module")
def model_id(trained: dict[str, Any]) -> str:
    found: str = trained["model_id"]
    return found


@pytest.fixture(scope="module")
def followed(two: Rig, model_id: str) -> dict[str, Any]:
    """A job of large pictures that two workers have drawn, and the names of its events."""
    job_id = two.client.post_job(sampling(model_id, **LARGE))
    with two.client.http.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        names = [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]
    return {"events": names, "pictures": pictures(two.client, two.client.job(job_id))}


@dataclass(frozen=True)
class Restart:
    """What was before and after the end of a service's processes, and a client of another service after it."""

    processes: list[psutil.Process]
    left: list[psutil.Process]  # still there
    shards: list[Job]
    job_id: str
    client: ServiceClient


@pytest.fixture(scope="module")
def restarted(start: Callable[..., Rig], two: Rig, model_id: str) -> Restart:
    """Wipe the broker and stop the service while two workers draw; start one with one worker of two threads."""
    client = two.client
    with slow_sampling(two):
        job_id = client.post_job(sampling(model_id, steps=40))
        client.wait(job_id, lambda job: len(job["artifacts"]) > 0)
        with two.down("broker"):
            two.wipe_broker()
        client.wait(job_id, lambda job: len(job["artifacts"]) > 2)
    processes = [psutil.Process(pid) for name in two.processes for pid in two.pid_and_children(name)]
    two.stop()
    _, left = psutil.wait_procs(processes, timeout=30)
    shards = rows.shards(two.database, job_id)
    return Restart(processes, left, shards, job_id, start(SAMPLE_1, threads=2).client)


def sampling(model_id: str, count: int = COUNT, seed: int = SEED, steps: int = 4, **size: int) -> dict[str, Any]:
    """Return the body of a sampling job."""
    params = {"count": count, "width": 40, "height": 32, "steps": steps, "seed": seed, **size}
    return {"kind": "sample", "model_id": model_id, "params": params}


def drawn(service: ServiceClient, body: dict[str, Any]) -> list[bytes]:
    """Post a job, wait for its end, return its pictures."""
    return pictures(service, service.succeeded(service.post_job(body)))


def pictures(service: ServiceClient, job: dict[str, Any]) -> list[bytes]:
    """Return a job's pictures in order; each must be there once."""
    assert job["progress"]["fraction"] == 1.0
    names = [f"synthesized-{index:03d}.png" for index in range(job["params"]["count"])]
    assert [one["name"] for one in job["artifacts"]] == names
    return [service.http.get(one["url"]).raise_for_status().content for one in job["artifacts"]]


def running_shards(rig: Rig, job_id: str) -> dict[str, Job]:
    """Return the shards that workers hold, by the workers' names."""
    return {shard.worker: shard for shard in rows.shards(rig.database, job_id) if shard.worker is not None}


@contextmanager
def slow_sampling(rig: Rig) -> Iterator[None]:
    """Slow down the work of all sampling workers."""
    with ExitStack() as stack:
        for pid in (*rig.children(SAMPLE_1), *rig.children(SAMPLE_2)):
            stack.enter_context(slowed(psutil.Process(pid)))
        yield


def test_training_and_sampling_work_on_postgresql_and_s3(two: Rig, trained: dict[str, Any], model_id: str) -> None:
    client = two.client
    assert [point["step"] for point in client.series(trained["id"])] == list(range(1, 11))
    sampled = client.succeeded(client.post_job(sampling(model_id, count=1)))
    for job in (trained, sampled):
        assert job["artifacts"]
        for artifact in job["artifacts"]:
            assert len(client.http.get(artifact["url"]).raise_for_status().content) == artifact["bytes"]
    assert not [path for path in (two.data_dir / "blobs").rglob("*") if path.is_file()]


def test_two_workers_draw_the_pictures_of_unsplit_jobs(two: Rig, followed: dict[str, Any], model_id: str) -> None:
    """Here those of the second shard; an unsplit job on another service draws those of the first, after the restart."""
    assert len([*two.children(SAMPLE_1), *two.children(SAMPLE_2)]) == 2
    names = followed["events"]
    assert (names[0], names[-1], names.count("done")) == ("status", "done", 1)
    assert "progress" in names
    assert len(set(followed["pictures"])) == COUNT
    assert COUNT == 2 * SHARD
    assert drawn(two.client, sampling(model_id, SHARD, SEED + SHARD, **LARGE)) == followed["pictures"][SHARD:]


def test_only_the_shard_of_a_killed_worker_is_drawn_again(two: Rig, model_id: str) -> None:
    client = two.client
    body = sampling(model_id, count=3 * SHARD, steps=16)
    with slow_sampling(two):
        job_id = client.post_job(body)
        client.wait(job_id, lambda job: len(job["artifacts"]) > 0 and len(running_shards(two, job_id)) == 2)
        name, lost = next(iter(running_shards(two, job_id).items()))
        worker = psutil.Process(int(name.split(":")[1]))
        processes = [worker, *worker.children(recursive=True)]
        worker.kill()
        psutil.wait_procs(processes, timeout=30)
    rows.expire(two.database, lost.id)
    job = client.succeeded(job_id)
    found = pictures(client, job)
    assert job["attempt"] == 2
    attempts = {shard.id: shard.attempt for shard in rows.shards(two.database, job_id)}
    assert len(attempts) == 3
    assert attempts == {**dict.fromkeys(attempts, 1), lost.id: 2}
    assert drawn(client, body) == found


def test_a_canceled_job_frees_its_workers_and_leaves_nothing_when_deleted(
    two: Rig, model_id: str, storage: dict[str, str]
) -> None:
    client = two.client
    job_id = client.post_job(sampling(model_id, steps=100_000))
    client.wait(job_id, lambda _: len(running_shards(two, job_id)) == 2)
    shards = [shard.id for shard in rows.shards(two.database, job_id)]
    assert client.http.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "canceled"
    assert client.http.delete(f"/v1/jobs/{job_id}").status_code == 204
    drawn(client, sampling(model_id, count=2))
    assert job_id not in [job["id"] for job in client.http.get("/v1/jobs", params={"limit": 100}).json()["data"]]
    assert len(shards) == 2
    paths = list(Blobs(storage["GENCONVNET_BLOB_URL"]).paths())
    assert paths
    assert not [path for path in paths if {job_id, *shards} & set(path.split("/"))]


def test_sigterm_ends_the_processes_of_busy_workers(restarted: Restart) -> None:
    assert len(restarted.processes) >= 8, "broker, API, and three workers with a process each"
    assert restarted.left == []


def test_a_wiped_broker_and_a_restart_lose_no_shard_and_change_no_picture(
    restarted: Restart, followed: dict[str, Any], two: Rig, model_id: str
) -> None:
    assert {shard.status for shard in restarted.shards} <= {"queued", "succeeded"}
    client, job_id = restarted.client, restarted.job_id
    found = pictures(client, client.succeeded(job_id))
    assert {shard.status for shard in rows.shards(two.database, job_id)} == {"succeeded"}
    assert drawn(client, sampling(model_id, steps=40)) == found
    assert drawn(client, sampling(model_id, SHARD, **LARGE)) == followed["pictures"][:SHARD]


def test_a_file_is_refused_with_503_while_s3_is_away(
    restarted: Restart, trained: dict[str, Any], s3_server: S3
) -> None:
    path = httpx.URL(trained["artifacts"][0]["url"]).path
    s3_server.stop()
    try:
        assert restarted.client.http.get(path).status_code == 503
    finally:
        s3_server.start()  # empty
        s3_server.make_bucket(BUCKET)
