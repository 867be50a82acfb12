"""What the benchmarks of the service share: run it, upload a picture, follow a job to its end."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

TEXTURE = Path(__file__).parents[1] / "examples" / "texture.png"
START_SECONDS = 60


@contextlib.contextmanager
def running_service(
    folder: Path | None = None, settings: Mapping[str, str] | None = None, timeout: float = 60
) -> Iterator[httpx.Client]:
    """Run `genconvnet serve` and yield a client for it.

    Its data lies in `folder`, or in a temporary folder. `settings` are environment variables of the service.
    """
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="genconvnet-benchmark-")))
        url = stack.enter_context(_serving(folder, settings))
        yield stack.enter_context(httpx.Client(base_url=url, timeout=timeout, trust_env=False))


@contextlib.contextmanager
def _serving(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run `genconvnet serve` on a free port and yield its URL; stop it at the end.

    Data and log are kept in `folder`. `settings` are environment variables of the service (GENCONVNET_...).
    """
    log = folder / "serve.log"
    genconvnet = Path(sys.executable).with_name("genconvnet")
    command = [str(genconvnet), "serve", "--port", "0", "--data-dir", f"{folder}/data"]
    environment = {**os.environ, **(settings or {})}
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        timer = threading.Timer(START_SECONDS, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            found = next((match for line in process.stdout if (match := re.search(r"http://\S+", line))), None)
            timer.cancel()
            if found is None:
                sys.stderr.write(log.read_text())
                raise SystemExit("the service did not start")
            yield found.group()
        finally:
            timer.cancel()
            process.terminate()
            process.communicate(timeout=60)


def wait_until_ready(client: httpx.Client) -> None:
    """Wait until both workers of the service are running."""
    while client.get("/readyz").is_error:
        time.sleep(0.05)


def upload(client: httpx.Client, picture: bytes | None = None) -> str:
    """Upload a PNG file, by default the example texture; return the dataset's id."""
    content = TEXTURE.read_bytes() if picture is None else picture
    dataset: dict[str, Any] = _post(client, "/v1/datasets", files={"images": (TEXTURE.name, content)})
    return str(dataset["id"])


def post_job(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """Accept a job and return it."""
    job: dict[str, Any] = _post(client, "/v1/jobs", json=body)
    return job


def _post(client: httpx.Client, path: str, **content: Any) -> Any:
    """POST and return the decoded response. If the service refuses, print its reason and exit."""
    response = client.post(path, **content)
    if response.is_error:
        raise SystemExit(f"{path}: {response.json()['detail']}")
    return response.json()


def run_job(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """Post a job and return it when it has succeeded."""
    return wait_for_success(client, post_job(client, body))


def wait_for_success(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """Return the job when it has succeeded; exit if it failed or was canceled."""
    while job["status"] in ("queued", "running"):
        time.sleep(0.1)
        job = client.get(f"/v1/jobs/{job['id']}").raise_for_status().json()
    if job["status"] != "succeeded":
        raise SystemExit(f"{job['kind']} {job['status']}: {job['error']}")
    return job


def seconds_between(job: dict[str, Any], first: str, last: str) -> float:
    """Return the seconds between two times of a job, such as `started_at` and `finished_at` (the database's clock)."""
    began, ended = (datetime.fromisoformat(job[name]) for name in (first, last))
    return (ended - began).total_seconds()
