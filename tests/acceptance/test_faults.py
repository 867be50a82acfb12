"""An accepted job reaches its end exactly once, whatever process is killed meanwhile."""

from typing import Any

import httpx
import psutil
from support.client import FINAL
from support.service import Service, slowed
from support.waiting import until

ITERATIONS = 80


def test_after_its_worker_is_killed_a_job_resumes_from_its_checkpoint_and_ends_the_same(service: Service) -> None:
    dataset = service.upload()
    job_id = service.train(dataset, iterations=ITERATIONS)
    service.running(job_id)
    worker = service.part("worker", "train")
    with slowed(service.child("train")):
        saved = service.past_a_checkpoint(job_id)
        processes = [worker, *worker.children(recursive=True)]
        worker.kill()
        psutil.wait_procs(processes, timeout=30)
    service.expire_lease(job_id)
    iterations = []

    def ended(job: dict[str, Any]) -> bool:
        if job["attempt"] == 2:
            iterations.append(job["progress"]["iteration"])
        return job["status"] in FINAL

    job = service.wait(job_id, ended)
    assert (job["status"], job["attempt"]) == ("succeeded", 2), job
    assert min(iterations) >= saved["progress"]["iteration"] > 0
    series = service.series(job_id)
    assert [point["step"] for point in series] == list(range(1, ITERATIONS + 1))
    undisturbed = service.succeeded(service.train(dataset, iterations=ITERATIONS))
    assert series == service.series(undisturbed["id"])


def test_a_killed_and_wiped_broker_loses_no_queued_job(service: Service) -> None:
    dataset = service.upload()
    jobs = [service.train(dataset, iterations=2, seed=index) for index in range(4)]
    service.wipe_broker()
    ended = [service.succeeded(job_id) for job_id in jobs]
    assert [job["attempt"] for job in ended] == [1] * len(jobs)
    models = service.http.get("/v1/models", params={"limit": 100}).json()["data"]
    done = sorted(model["job_id"] for model in models if model["job_id"] in jobs)
    assert done == sorted(jobs), "each job was done once"


def test_a_killed_api_is_started_again_with_all_it_accepted(service: Service) -> None:
    dataset = service.upload()
    jobs = [service.train(dataset, iterations=5, seed=index) for index in range(2)]
    service.part("api").kill()
    until(lambda: _answers(service))
    for job_id in jobs:
        service.succeeded(job_id)


def test_jobs_run_with_a_niceness_and_the_api_without(service: Service) -> None:
    child = service.child("train")
    until(lambda: child.nice() == 1)
    assert service.part("api").nice() == 0


def _answers(service: Service) -> bool:
    try:
        return service.http.get("/healthz").is_success
    except httpx.HTTPError:
        return False
