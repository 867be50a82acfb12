"""A job of many pictures, split between two workers, on PostgreSQL and S3: it makes the pictures of one worker,
whatever is killed, stopped and started again.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from support import rows
from support.postgres import PostgresServer
from support.s3 import S3
from support.service import Service, slowed

from core.storage.blobs import Blobs
from core.storage.tables import Job

COUNT, SHARD = 16, 8
SEED = 11
BUCKET = "service"
LARGE = {"width": 208, "height": 192}  # so many pixels that threads share the sums over them


@pytest.fixture(scope="module")
def storage(postgres_server: PostgresServer, s3_server: S3) -> Iterator[dict[str, str]]:
    """The settings of a service on PostgreSQL and S3; how to reach S3 is in this process's environment too."""
    blobs = s3_server.make_bucket(BUCKET)
    with postgres_server.fresh() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        yield {"GENCONVNET_DATABASE_URL": url, "GENCONVNET_BLOB_URL": blobs}


@pytest.fixture(scope="module")
def two(serve: Callable[..., Service], storage: dict[str, str]) -> Service:
    """A service with two sampling workers, of one thread each."""
    return serve("data", GENCONVNET_SAMPLE_WORKERS="2", GENCONVNET_LEASE_SECONDS="3", **storage)


@pytest.fixture(scope="module")
def trained(two: Service) -> dict[str, Any]:
    return two.succeeded(two.train(iterations=10))


@pytest.fixture(scope="module")
def model_id(trained: dict[str, Any]) -> str:
    found: str = trained["model_id"]
    return found


@dataclass(frozen=True)
class Restart:
    """What was before and during the restart of a service, and the service after it."""

    exit_code: int
    left: list[psutil.Process]  # still there after the supervisor's end
    shards: list[Job]
    job_id: str
    drawn_by_two: list[bytes]
    service: Service


@pytest.fixture(scope="module")
def restarted(serve: Callable[..., Service], two: Service, model_id: str, storage: dict[str, str]) -> Restart:
    """Wipe the broker and stop the service while two workers draw; start it again with one worker of two threads."""
    drawn_by_two = drawn(two, sampling(model_id, **LARGE))
    with slow_sampling(two):
        job_id = two.post_job(sampling(model_id, steps=40))
        two.wait(job_id, lambda job: len(job["artifacts"]) > 0)
        two.wipe_broker()
        two.wait(job_id, lambda job: len(job["artifacts"]) > 2)
    processes = two.processes()
    two.process.terminate()
    exit_code = two.process.wait(timeout=60)
    _, left = psutil.wait_procs(processes, timeout=30)
    shards = rows.shards(two.database, job_id)
    return Restart(exit_code, left, shards, job_id, drawn_by_two, serve("data", GENCONVNET_THREADS="2", **storage))


def sampling(model_id: str, count: int = COUNT, seed: int = SEED, steps: int = 4, **size: int) -> dict[str, Any]:
    """Return the body of a sampling job."""
    params = {"count": count, "width": 40, "height": 32, "steps": steps, "seed": seed, **size}
    return {"kind": "sample", "model_id": model_id, "params": params}


def drawn(service: Service, body: dict[str, Any]) -> list[bytes]:
    """Post a job, wait for its end, return its pictures."""
    return pictures(service, service.succeeded(service.post_job(body)))


def pictures(service: Service, job: dict[str, Any]) -> list[bytes]:
    """Return a job's pictures in order; each must be there once."""
    assert job["progress"]["fraction"] == 1.0
    names = [f"synthesized-{index:03d}.png" for index in range(job["params"]["count"])]
    assert [one["name"] for one in job["artifacts"]] == names
    return [service.http.get(one["url"]).raise_for_status().content for one in job["artifacts"]]


def running_shards(service: Service, job_id: str) -> dict[str, Job]:
    """Return the shards that workers hold, by the workers' names."""
    return {shard.worker: shard for shard in rows.shards(service.database, job_id) if shard.worker is not None}


def sampling_workers(service: Service) -> list[psutil.Process]:
    return [one for one in psutil.Process(service.process.pid).children() if "sample" in one.cmdline()]


@contextmanager
def slow_sampling(service: Service) -> Iterator[None]:
    """Slow down the work of all sampling workers."""
    with ExitStack() as stack:
        for worker in sampling_workers(service):
            for child in worker.children():
                stack.enter_context(slowed(child))
        yield


def test_training_and_sampling_work_on_postgresql_and_s3(two: Service, trained: dict[str, Any], model_id: str) -> None:
    assert [point["step"] for point in two.series(trained["id"])] == list(range(1, 11))
    sampled = two.succeeded(two.post_job(sampling(model_id, count=1)))
    for job in (trained, sampled):
        assert job["artifacts"]
        for artifact in job["artifacts"]:
            assert len(two.http.get(artifact["url"]).raise_for_status().content) == artifact["bytes"]
    assert not [path for path in (two.data_dir / "blobs").rglob("*") if path.is_file()]


def test_two_workers_draw_the_pictures_of_unsplit_jobs(two: Service, model_id: str) -> None:
    assert len(sampling_workers(two)) == 2
    job_id = two.post_job(sampling(model_id, **LARGE))
    with two.http.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        names = [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]
    assert (names[0], names[-1], names.count("done")) == ("status", "done", 1)
    assert "progress" in names
    by_two = pictures(two, two.job(job_id))
    assert len(set(by_two)) == COUNT
    unsplit = [drawn(two, sampling(model_id, SHARD, SEED + first, **LARGE)) for first in range(0, COUNT, SHARD)]
    assert [one for some in unsplit for one in some] == by_two


def test_only_the_shard_of_a_killed_worker_is_drawn_again(two: Service, model_id: str) -> None:
    body = sampling(model_id, count=3 * SHARD, steps=40)
    with slow_sampling(two):
        job_id = two.post_job(body)
        two.wait(job_id, lambda job: len(job["artifacts"]) > 0 and len(running_shards(two, job_id)) == 2)
        name, lost = next(iter(running_shards(two, job_id).items()))
        worker = psutil.Process(int(name.split(":")[1]))
        processes = [worker, *worker.children(recursive=True)]
        worker.kill()
        psutil.wait_procs(processes, timeout=30)
    job = two.succeeded(job_id)
    found = pictures(two, job)
    assert job["attempt"] == 2
    attempts = {shard.id: shard.attempt for shard in rows.shards(two.database, job_id)}
    assert len(attempts) == 3
    assert attempts == {**dict.fromkeys(attempts, 1), lost.id: 2}
    assert drawn(two, body) == found


def test_a_canceled_job_frees_its_workers_and_leaves_nothing_when_deleted(
    two: Service, model_id: str, storage: dict[str, str]
) -> None:
    job_id = two.post_job(sampling(model_id, steps=100_000))
    two.wait(job_id, lambda _: len(running_shards(two, job_id)) == 2)
    shards = [shard.id for shard in rows.shards(two.database, job_id)]
    assert two.http.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "canceled"
    assert two.http.delete(f"/v1/jobs/{job_id}").status_code == 204
    drawn(two, sampling(model_id, count=2))
    assert job_id not in [job["id"] for job in two.http.get("/v1/jobs", params={"limit": 100}).json()["data"]]
    assert len(shards) == 2
    paths = list(Blobs(storage["GENCONVNET_BLOB_URL"]).paths())
    assert paths
    assert not [path for path in paths if {job_id, *shards} & set(path.split("/"))]


def test_sigterm_ends_all_processes(restarted: Restart) -> None:
    assert restarted.exit_code == 0
    assert restarted.left == []


def test_a_wiped_broker_and_a_restart_lose_no_shard_and_change_no_picture(restarted: Restart, model_id: str) -> None:
    assert {shard.status for shard in restarted.shards} <= {"queued", "succeeded"}
    service, job_id = restarted.service, restarted.job_id
    found = pictures(service, service.succeeded(job_id))
    assert {shard.status for shard in rows.shards(service.database, job_id)} == {"succeeded"}
    assert drawn(service, sampling(model_id, steps=40)) == found
    assert drawn(service, sampling(model_id, **LARGE)) == restarted.drawn_by_two


def test_a_file_is_refused_with_503_while_s3_is_away(
    restarted: Restart, trained: dict[str, Any], s3_server: S3
) -> None:
    url = trained["artifacts"][0]["url"]
    s3_server.stop()
    try:
        assert restarted.service.http.get(url).status_code == 503
    finally:
        s3_server.start()  # empty
        s3_server.make_bucket(BUCKET)


def test_sigkill_of_the_supervisor_leaves_no_process(restarted: Restart) -> None:
    service = restarted.service
    service.running(service.train(iterations=100_000), 0)
    processes = service.processes()
    assert len(processes) > 5
    service.process.kill()
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not alive, alive
