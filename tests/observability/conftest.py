"""A service that is watched while it works, and the fixtures of the API's tests."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from acceptance.conftest import Service
from support.waiting import until

SECRET = "key-that-is-nobodys-business"


@dataclass(frozen=True)
class Watched:
    """What was seen of a service that learned, sampled, refused, and was stopped."""

    trained: dict[str, Any]
    sampled: dict[str, Any]
    posted: dict[str, httpx.Headers]
    metrics: str
    lines: list[str]

    @property
    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    service = Service(tmp_path_factory.mktemp("watched") / "data", GENCONVNET_LOG_FORMAT="json")
    try:
        yield _watch(service)
    finally:
        service.stop()


def _watch(service: Service) -> Watched:
    from acceptance.conftest import TINY

    client = service.client
    asked = {"kind": "train", "dataset_id": service.upload(), "params": TINY}
    training = client.post("/v1/jobs", json=asked, headers={"X-Request-ID": "the-training"})
    trained = service.ended(training.json()["id"])
    asked = {"kind": "sample", "model_id": trained["model_id"], "params": {"count": 1, "steps": 3}}
    sampling = client.post("/v1/jobs", json=asked, headers={"X-Request-ID": "the-sampling"})
    sampled = service.ended(sampling.json()["id"])
    assert client.get("/v1/jobs/none", params={"api_key": SECRET}).status_code == 404
    assert client.post("/v1/jobs", json={"kind": "none"}).status_code == 422
    metrics = _told(service)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=60) == 0
    posted = {"train": training.headers, "sample": sampling.headers}
    return Watched(trained, sampled, posted, metrics, service.log.read_text().splitlines())


def _told(service: Service) -> str:
    """What /metrics says once both workers have told of their jobs."""
    texts = [""]

    def both_are_told() -> bool:
        texts[0] = service.client.get("/metrics").raise_for_status().text
        return texts[0].count('outcome="succeeded"') == 2

    until(both_are_told, describe=lambda: texts[0])
    return texts[0]
