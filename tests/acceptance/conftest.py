"""`genconvnet serve` as a user starts it: real processes, a real broker, real HTTP."""

import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image
from support import pictures, rows
from support.waiting import PATIENCE_SECONDS, until

from core.runtime.settings import Settings
from core.storage.database import Database

TINY = {
    "image_size": 32,
    "layers": [{"filters": 8, "kernel_size": 5, "stride": 2}],
    "num_chains": 2,
    "langevin_steps": 5,
    "iterations": 40,
    "checkpoint_seconds": 1,
    "seed": 7,
}


class Service:
    """A running `genconvnet serve`, what it printed, and its processes."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.log = data_dir.with_suffix(".log")
        command = [
            str(Path(sys.executable).with_name("genconvnet")),
            "serve",
            "--port",
            "0",
            "--data-dir",
            str(data_dir),
        ]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**_clean_environment(), "GENCONVNET_THREADS": "1", "GENCONVNET_NICENESS": "0", **environment},
            )
        timer = threading.Timer(60, self.process.kill)
        timer.start()
        assert self.process.stdout is not None
        found = next((match for line in self.process.stdout if (match := re.search(r"http://\S+", line))), None)
        timer.cancel()
        assert found is not None, self.log.read_text()
        self.client = httpx.Client(base_url=found.group(), timeout=PATIENCE_SECONDS)

    def processes(self) -> list[psutil.Process]:
        """The supervisor and all that came of it."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def part(self, *words: str) -> psutil.Process:
        """The process of a part, by words of its command line."""

        def is_it(process: psutil.Process) -> bool:
            line = " ".join(process.cmdline()).split()  # Valkey writes its whole title into the first argument
            return all(any(argument == word or argument.endswith(f"/{word}") for argument in line) for word in words)

        supervisor = psutil.Process(self.process.pid)
        found, *_ = until(lambda: [one for one in supervisor.children() if is_it(one)], told=lambda: words)
        return found

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_SECONDS)
        self.client.close()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def upload(self) -> str:
        answer = self.client.post("/v1/datasets", files={"images": ("stripes.png", pictures.stripes(), "image/png")})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def train(self, dataset_id: str, **params: Any) -> str:
        body = {"kind": "train", "dataset_id": dataset_id, "params": {**TINY, **params}}
        return self.accepted(body)["id"]

    def accepted(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.client.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def job(self, job_id: str) -> dict[str, Any]:
        return self.client.get(f"/v1/jobs/{job_id}").raise_for_status().json()

    def wait(
        self, job_id: str, reached: Callable[[dict[str, Any]], bool], seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """The job, once that holds of it."""
        return until(
            lambda: job if reached(job := self.job(job_id)) else None,
            seconds,
            told=lambda: (self.job(job_id), self.log.read_text()[-5000:]),
        )

    def past_a_checkpoint(self, job_id: str) -> dict[str, Any]:
        """The job as it is, once it has made another checkpoint after this."""
        job, database = self.job(job_id), Database(Settings(data_dir=self.data_dir).rows_url)
        try:
            before = rows.row(database, job_id).checkpoint
            until(lambda: rows.row(database, job_id).checkpoint != before)
        finally:
            database.dispose()
        return job

    def ended(self, job_id: str, seconds: float = 3 * PATIENCE_SECONDS) -> dict[str, Any]:
        return self.wait(job_id, lambda job: job["status"] in ("succeeded", "failed", "canceled"), seconds)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that the tests of a module use in turn; each ends the jobs it began."""
    running = Service(tmp_path_factory.mktemp("service") / "data")
    yield running
    running.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services on data folders of this test; they are stopped at its end."""
    started: list[Service] = []

    def start(name: str = "data", **environment: str) -> Service:
        started.append(Service(tmp_path / name, **environment))
        return started[-1]

    yield start
    for service in started:
        service.stop()


def read_picture(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture)


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("GENCONVNET_")}
