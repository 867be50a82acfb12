"""What is accepted reaches its end, once, whatever is killed meanwhile."""

import signal
import time

import psutil
from acceptance.conftest import TINY


def test_killed_train_worker_goes_on_from_its_checkpoint_within_30_seconds(serve):
    service = serve()
    dataset = service.upload()
    job_id = service.train(dataset, iterations=1500)
    service.wait(job_id, lambda job: job["progress"]["iteration"] > 20)
    time.sleep(1.5)  # past a checkpoint
    before = service.job(job_id)
    worker = service.part("worker", "train")
    family = [worker, *worker.children(recursive=True)]
    worker.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)
    service.part("worker", "train")  # the supervisor has started another
    returned_at = time.monotonic()
    resumed = service.wait(job_id, lambda job: job["attempt"] == 2, seconds=40)
    assert time.monotonic() - returned_at < 30
    assert resumed["status"] == "running"
    moving = service.wait(job_id, lambda job: job["progress"]["iteration"] > before["progress"]["iteration"])
    job = service.ended(job_id, seconds=180)
    assert job["status"] == "succeeded", job
    series = service.client.get(f"/v1/jobs/{job_id}/metrics").json()["data"]
    assert [point["step"] for point in series] == list(range(1, 1501))
    assert moving["attempt"] == 2
    # It went on from a checkpoint, and ended where it would have ended anyway.
    undisturbed = service.ended(service.train(dataset, iterations=1500), seconds=180)
    again = service.client.get(f"/v1/jobs/{undisturbed['id']}/metrics").json()["data"]
    assert series == again


def test_killed_child_frees_its_job_at_once(serve):
    service = serve(GENCONVNET_LEASE_SECONDS="600")  # so that only the parent's notice can free it
    job_id = service.train(service.upload(), iterations=800)
    service.wait(job_id, lambda job: job["progress"]["iteration"] > 5)
    (child,) = [
        process
        for process in service.part("worker", "train").children(recursive=True)
        if "spawn_main" in str(process.cmdline())
    ]
    child.kill()
    job = service.ended(job_id, seconds=60)
    assert job["status"] == "succeeded", job
    assert job["attempt"] == 2


def test_killed_and_wiped_broker_loses_none_of_20_queued_jobs(serve):
    service = serve()
    dataset = service.upload()
    jobs = [service.train(dataset, iterations=5, seed=index) for index in range(20)]
    service.part("valkey-server").kill()
    for file in (service.data_dir / "broker").rglob("*"):
        if file.is_file():
            file.unlink()
    ended = [service.ended(job_id, seconds=120) for job_id in jobs]
    assert [job["status"] for job in ended] == ["succeeded"] * 20
    assert [job["attempt"] for job in ended] == [1] * 20
    models = service.client.get("/v1/models", params={"limit": 100}).json()["data"]
    assert sorted(model["job_id"] for model in models) == sorted(jobs), "each job was done once"


def test_killed_api_comes_back_with_all_it_accepted(serve):
    service = serve()
    dataset = service.upload()
    jobs = [service.train(dataset, seed=index) for index in range(3)]
    service.part("api").kill()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            service.client.get("/healthz").raise_for_status()
            break
        except Exception:
            time.sleep(0.1)
    assert [service.ended(job_id)["status"] for job_id in jobs] == ["succeeded"] * 3


def test_job_that_kills_its_worker_fails_with_the_reason(serve):
    service = serve(GENCONVNET_LEASE_SECONDS="3")
    job_id = service.train(service.upload(), iterations=100_000, checkpoint_seconds=600)
    for attempt in (1, 2, 3):
        service.wait(job_id, lambda job, attempt=attempt: job["attempt"] == attempt and job["status"] == "running", 40)
        (child,) = _children(service)
        child.kill()
        psutil.wait_procs([child], timeout=5)
    job = service.ended(job_id, seconds=40)
    assert job["status"] == "failed"
    assert job["error"]["type"] == "worker-lost"
    assert "3 tries" in job["error"]["detail"]
    assert TINY["checkpoint_seconds"] == 1  # elsewhere a checkpoint would have cleared the strikes


def test_what_learns_stands_back_behind_what_answers(serve):
    service = serve(GENCONVNET_NICENESS="7")
    (child,) = _children(service)
    deadline = time.monotonic() + 20
    while child.nice() != 7 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (child.nice(), service.part("api").nice()) == (7, 0)


def _children(service):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = [
            process
            for process in service.part("worker", "train").children(recursive=True)
            if "spawn_main" in str(process.cmdline())
        ]
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("no working process")
