"""A service that trained, sampled, refused requests and was stopped: its metrics and its log."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from support.client import TINY
from support.service import Service
from support.waiting import until

SECRET = "key-that-nobody-may-see"


@dataclass(frozen=True)
class ServiceRecord:
    """Two jobs, the headers of the answers to their requests, /metrics after them, and the whole log."""

    trained: dict[str, Any]
    sampled: dict[str, Any]
    headers: dict[str, httpx.Headers]
    metrics: str
    lines: list[str]

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceRecord]:
    service = Service(tmp_path_factory.mktemp("observed") / "data", GENCONVNET_LOG_FORMAT="json")
    try:
        yield _record(service)
    finally:
        service.stop()


def _record(service: Service) -> ServiceRecord:
    http = service.http
    body = {"kind": "train", "dataset_id": service.upload(), "params": TINY}
    training = http.post("/v1/jobs", json=body, headers={"X-Request-ID": "the-training"})
    trained = service.succeeded(training.json()["id"])
    body = {"kind": "sample", "model_id": trained["model_id"], "params": {"count": 1, "steps": 3}}
    sampling = http.post("/v1/jobs", json=body, headers={"X-Request-ID": "the-sampling"})
    sampled = service.succeeded(sampling.json()["id"])
    assert http.get("/v1/jobs/none", params={"api_key": SECRET}).status_code == 404
    assert http.post("/v1/jobs", json={"kind": "none"}).status_code == 422
    metrics = _metrics_of_both_workers(service)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=60) == 0
    headers = {"train": training.headers, "sample": sampling.headers}
    return ServiceRecord(trained, sampled, headers, metrics, service.log.read_text().splitlines())


def _metrics_of_both_workers(service: Service) -> str:
    """Wait until both workers have published what they did; return /metrics."""
    texts = [""]

    def both_are_there() -> bool:
        texts[0] = service.http.get("/metrics").raise_for_status().text
        return texts[0].count('outcome="succeeded"') == 2

    until(both_are_there, describe=lambda: texts[0])
    return texts[0]
