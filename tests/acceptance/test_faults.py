"""What is accepted reaches its end, once, whatever is killed meanwhile."""

import signal

import httpx
import psutil
from acceptance.conftest import TINY
from support.waiting import until


def test_killed_train_worker_goes_on_from_its_checkpoint(serve):
    service = serve()
    dataset = service.upload()
    job_id = service.train(dataset, iterations=1500)
    service.wait(job_id, lambda job: job["progress"]["iteration"] > 20)
    before = service.past_a_checkpoint(job_id)
    worker = service.part("worker", "train")
    family = [worker, *worker.children(recursive=True)]
    worker.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=30)
    service.part("worker", "train")  # the supervisor has started another
    resumed = service.wait(job_id, lambda job: job["attempt"] == 2)
    assert resumed["status"] == "running"
    moving = service.wait(job_id, lambda job: job["progress"]["iteration"] > before["progress"]["iteration"])
    job = service.ended(job_id)
    assert job["status"] == "succeeded", job
    series = service.client.get(f"/v1/jobs/{job_id}/metrics").json()["data"]
    assert [point["step"] for point in series] == list(range(1, 1501))
    assert moving["attempt"] == 2
    # It went on from a checkpoint, and ended where it would have ended anyway.
    undisturbed = service.ended(service.train(dataset, iterations=1500))
    again = service.client.get(f"/v1/jobs/{undisturbed['id']}/metrics").json()["data"]
    assert series == again


def test_killed_child_frees_its_job_at_once(serve):
    service = serve(GENCONVNET_LEASE_SECONDS="600")  # so that only the parent's notice can free it
    job_id = service.train(service.upload(), iterations=800)
    service.wait(job_id, lambda job: job["progress"]["iteration"] > 5)
    (child,) = _children(service)
    child.kill()
    job = service.ended(job_id)
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
    ended = [service.ended(job_id) for job_id in jobs]
    assert [job["status"] for job in ended] == ["succeeded"] * 20
    assert [job["attempt"] for job in ended] == [1] * 20
    models = service.client.get("/v1/models", params={"limit": 100}).json()["data"]
    assert sorted(model["job_id"] for model in models) == sorted(jobs), "each job was done once"


def test_killed_api_comes_back_with_all_it_accepted(serve):
    service = serve()
    dataset = service.upload()
    jobs = [service.train(dataset, seed=index) for index in range(3)]
    service.part("api").kill()
    until(lambda: _answers(service))
    assert [service.ended(job_id)["status"] for job_id in jobs] == ["succeeded"] * 3


def test_job_that_kills_its_worker_fails_with_the_reason(serve):
    service = serve(GENCONVNET_LEASE_SECONDS="3")
    job_id = service.train(service.upload(), iterations=100_000, checkpoint_seconds=600)
    for attempt in (1, 2, 3):
        service.wait(job_id, lambda job, attempt=attempt: job["attempt"] == attempt and job["status"] == "running")
        (child,) = _children(service)
        child.kill()
        psutil.wait_procs([child], timeout=30)
    job = service.ended(job_id)
    assert job["status"] == "failed"
    assert job["error"]["type"] == "worker-lost"
    assert "3 tries" in job["error"]["detail"]
    assert TINY["checkpoint_seconds"] == 1  # elsewhere a checkpoint would have cleared the failures


def test_what_learns_stands_back_behind_what_answers(serve):
    service = serve(GENCONVNET_NICENESS="7")
    (child,) = _children(service)
    until(lambda: child.nice() == 7)
    assert service.part("api").nice() == 0


def _answers(service):
    try:
        return service.client.get("/healthz").is_success
    except httpx.HTTPError:
        return False


def _children(service):
    """The processes that do the work of learning."""
    return until(
        lambda: [
            process
            for process in service.part("worker", "train").children(recursive=True)
            if "spawn_main" in str(process.cmdline())
        ]
    )
