"""A service that trained, sampled, refused requests and was stopped: its metrics and its log.

It runs where services are easily broken: behind proxies that do not exist, on IPv6, in a folder whose path is too long
for a socket. One of its settings is misspelt.
"""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from support import pictures
from support.client import TINY
from support.service import Service
from support.waiting import until

SECRET = "key-that-nobody-may-see"
LONG = Path(*["a" * 60] * 3, "data")
PROXIES = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "NO_PROXY": "",
}
PROXIES |= {name.lower(): value for name, value in PROXIES.items()}


@dataclass(frozen=True)
class ServiceRecord:
    """Two jobs, their previews, the headers of the answers to their requests, /metrics after them, and the whole log.

    `temporary` lists what is ours in the temporary folder while the service ran, and after its end.
    """

    url: str
    temporary: tuple[list[str], list[str]]
    trained: dict[str, Any]
    sampled: dict[str, Any]
    previews: list[dict[str, Any]]
    headers: dict[str, httpx.Headers]
    metrics: str
    lines: list[str]

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceRecord]:
    folder, temporary = tmp_path_factory.mktemp("observed") / LONG, tmp_path_factory.mktemp("temporary")
    folder.parent.mkdir(parents=True)
    settings = {"LOG_FORMAT": "json", "HOST": "::1", "LEASE_SECOND": "3"}
    environment = {f"GENCONVNET_{name}": value for name, value in settings.items()}
    service = Service(folder, TMPDIR=str(temporary), **environment, **PROXIES)
    try:
        yield _record(service, temporary)
    finally:
        service.stop()


def _record(service: Service, temporary: Path) -> ServiceRecord:
    http = service.http
    body = {"kind": "train", "dataset_id": service.upload(), "params": TINY}
    training = http.post("/v1/jobs", json=body, headers={"X-Request-ID": "the-training"})
    trained = service.succeeded(training.json()["id"])
    body = {"kind": "sample", "model_id": trained["model_id"], "params": {"count": 1, "steps": 3}}
    sampling = http.post("/v1/jobs", json=body, headers={"X-Request-ID": "the-sampling"})
    sampled = service.succeeded(sampling.json()["id"])
    assert http.get("/v1/jobs/none", params={"api_key": SECRET}).status_code == 404
    assert http.post("/v1/jobs", json={"kind": "none"}).status_code == 422
    picture = {"images": ("damaged.tif", damaged_tiff())}
    assert http.post("/v1/datasets", files=picture, headers={"X-Request-ID": "the-picture"}).status_code == 422
    shown = [one for job in (trained, sampled) for one in http.get(f"/v1/jobs/{job['id']}/previews").json()["data"]]
    metrics = _metrics_of_both_workers(service)
    during = _names(temporary)
    processes = service.processes()
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=60) == 0
    _, left = psutil.wait_procs(processes, timeout=30)
    assert left == []
    headers = {"train": training.headers, "sample": sampling.headers}
    lines = service.log.read_text().splitlines()
    in_temporary = (during, _names(temporary))
    return ServiceRecord(str(http.base_url), in_temporary, trained, sampled, shown, headers, metrics, lines)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith("genconvnet")]


def damaged_tiff() -> bytes:
    """Return a TIFF on whose compressed pixels libtiff writes a line to standard error."""
    content = bytearray(pictures.encoded(pictures.in_mode("RGB"), "TIFF", compression="tiff_lzw"))
    end = int.from_bytes(content[4:8], "little")
    content[8:end] = bytes(value ^ 0x5A for value in content[8:end])
    return bytes(content)


def _metrics_of_both_workers(service: Service) -> str:
    """Wait until both workers have published what they did; return /metrics."""
    texts = [""]

    def both_are_there() -> bool:
        texts[0] = service.http.get("/metrics").raise_for_status().text
        return texts[0].count('outcome="succeeded"') == 2

    until(both_are_there, describe=lambda: texts[0])
    return texts[0]
