"""A job is canceled at any moment of its work."""

import time
from typing import Any

import pytest
from support.client import TINY
from support.models import model_file
from support.service import Service

LARGE = {"count": 1, "width": 4096, "height": 4096, "steps": 500}


@pytest.fixture(scope="module")
def dataset(service: Service) -> str:
    return service.upload()


@pytest.fixture(scope="module")
def models(service: Service) -> list[str]:
    return [service.import_model(model_file(seed=seed)) for seed in (1, 2)]


@pytest.mark.parametrize("after_seconds", [0.0, 0.5, pytest.param(1.5, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("work", ["learning", "large canvas", "many pictures", "annealing"])
def test_a_running_job_is_canceled(
    service: Service, dataset: str, models: list[str], work: str, after_seconds: float
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
    job_id = service.post_job(bodies[work])
    service.wait(job_id, lambda job: job["status"] == "running")
    time.sleep(after_seconds)  # it loads, or works
    service.cancel(job_id)
    assert service.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 409


def test_a_large_canvas_is_canceled_during_its_first_step(service: Service) -> None:
    model_id = service.import_model(model_file(filters=64, kernel_size=7, stride=1, side=96))
    params = {**LARGE, "width": 1536, "height": 1536}
    job_id = service.post_job({"kind": "sample", "model_id": model_id, "params": params})
    job = service.wait(job_id, lambda job: job["progress"]["fraction"] > 0)
    assert job["progress"]["fraction"] < 1 / params["steps"]
    service.cancel(job_id)
    assert service.job(job_id)["progress"]["iteration"] == 0
