"""A job is canceled within 2 seconds wherever it is."""

import time
from typing import Any

import pytest
from acceptance.conftest import TINY, Service

LARGE = {"count": 1, "width": 8192, "height": 8192, "steps": 50}


@pytest.fixture(scope="module")
def dataset(service: Service) -> str:
    return service.upload()


@pytest.fixture(scope="module")
def models(service: Service, dataset: str) -> list[str]:
    ended = [service.ended(service.train(dataset, seed=seed)) for seed in (1, 2)]
    return [job["model_id"] for job in ended]


@pytest.mark.parametrize("after_seconds", [0.0, 0.3, 1.5])
@pytest.mark.parametrize("what", ["learning", "large canvas", "many pictures", "annealing"])
def test_a_running_job_is_canceled(
    service: Service, dataset: str, models: list[str], what: str, after_seconds: float
) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "learning": {"kind": "train", "dataset_id": dataset, "params": {**TINY, "iterations": 100_000}},
        "large canvas": {"kind": "sample", "model_id": models[0], "params": LARGE},
        "many pictures": {"kind": "sample", "model_id": models[0], "params": {"count": 64, "steps": 2000}},
        "annealing": {
            "kind": "classify",
            "model_ids": models,
            "dataset_id": dataset,
            "params": {"chains": 64, "temperatures": 10_000},
        },
    }
    job_id = service.accepted(bodies[what])["id"]
    service.wait(job_id, lambda job: job["status"] == "running")
    time.sleep(after_seconds)  # it loads, it works, it writes
    assert service.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert service.ended(job_id)["status"] == "canceled"


def test_a_canvas_is_canceled_in_the_midst_of_its_first_step(service: Service, dataset: str) -> None:
    """Its patches are laid, some of its tiles are drawn, and no step is over."""
    layers = [{"filters": 64, "kernel_size": 7, "stride": 1}]
    model_id = service.ended(service.train(dataset, image_size=96, layers=layers))["model_id"]
    params = {**LARGE, "width": 4096, "height": 4096}
    job_id = service.accepted({"kind": "sample", "model_id": model_id, "params": params})["id"]
    job = service.wait(job_id, lambda job: job["progress"]["fraction"] > 0)
    assert job["progress"]["fraction"] < 1 / params["steps"]
    assert service.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert service.ended(job_id)["status"] == "canceled"
    assert service.job(job_id)["progress"]["iteration"] == 0
