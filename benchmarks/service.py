"""How soon the service is there and begins a job, and what training and sampling cost each other on one machine.

    python benchmarks/service.py [--turns 5] [--json FILE]

Starts `genconvnet serve` with a new data folder. Imports are timed in processes of their own, in turns with a bare
FastAPI app's. Training and sampling run alone, one after the other, and then at once: `together` is the time of both at
once over the sum of their times alone. Canceled are a job that learns and one in the midst of a large canvas's step. A
canvas of 8192 x 8192 in colour is drawn, and what memory the process took that drew it. At last the worker that learns
is killed, and its process with it.
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image
from shards import ended, seconds

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "examples"))

from demo import post, service  # noqa: E402  # the demo starts the service as a user does

BARE = "from fastapi import FastAPI; app = FastAPI()"
OURS = "import api.app"
TRAIN = {"iterations": 300, "keep_nearest": False, "seed": 1}
LONG = {**TRAIN, "iterations": 20_000, "checkpoint_seconds": 2}
CANVAS = {"count": 1, "width": 4096, "height": 4096, "steps": 1000, "seed": 1}
HUGE = {"count": 1, "width": 8192, "height": 8192, "steps": 3, "seed": 1, "tileable": True}
SAMPLE = {"count": 4, "width": 384, "height": 384, "steps": 60, "seed": 1}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("benchmark-output/service.json"))
    asked = parser.parse_args(arguments)
    found = imports(asked.turns)
    began_at = time.monotonic()
    with service() as url, httpx.Client(base_url=url, timeout=60) as client:
        found["healthz_seconds"] = time.monotonic() - began_at
        while client.get("/readyz").is_error:
            time.sleep(0.05)
        found["readyz_seconds"] = time.monotonic() - began_at
        found |= jobs(client, asked.turns)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write("".join(f"| {name} | {figure:.3f} |\n" for name, figure in found.items()))
    return 0


def imports(turns: int) -> dict[str, float]:
    """Median seconds until a process has imported the app, or a bare one, and their ratio."""
    seconds: dict[str, list[float]] = {BARE: [], OURS: []}
    for _ in range(turns):
        for source, taken in seconds.items():
            began_at = time.monotonic()
            subprocess.run([sys.executable, "-c", source], check=True, cwd=ROOT)
            taken.append(time.monotonic() - began_at)
    bare, ours = (statistics.median(taken) for taken in seconds.values())
    return {"import_bare_fastapi_seconds": bare, "import_api_seconds": ours, "import_ratio": ours / bare}


def jobs(client: httpx.Client, turns: int) -> dict[str, float]:
    picture = io.BytesIO()
    with Image.open(ROOT / "examples" / "texture.png") as grey:
        grey.convert("RGB").save(picture, "png")
    dataset = post(client, "/v1/datasets", files={"images": ("texture.png", picture.getvalue())})
    train = {"kind": "train", "dataset_id": dataset["id"], "preset": "quick", "params": TRAIN}
    learned = ended(client, post(client, "/v1/jobs", json=train))
    sample = {"kind": "sample", "model_id": learned["model_id"], "params": SAMPLE}
    small = {"kind": "sample", "model_id": learned["model_id"], "params": {"count": 1, "steps": 1}}
    ended(client, post(client, "/v1/jobs", json=sample))  # from now on both workers are warm
    waits = [waited(ended(client, post(client, "/v1/jobs", json=small))) for _ in range(turns)]
    alone = [seconds(ended(client, post(client, "/v1/jobs", json=body))) for body in (train, sample)]
    together = [post(client, "/v1/jobs", json=body) for body in (train, sample)]
    both = [ended(client, job) for job in together]
    began = min(datetime.fromisoformat(job["started_at"]) for job in both)
    over = max(datetime.fromisoformat(job["finished_at"]) for job in both)
    learning, canvas = {**train, "params": LONG}, {**sample, "params": CANVAS}
    return {
        "queued_to_running_seconds": statistics.median(waits),
        "training_alone_seconds": alone[0],
        "sampling_alone_seconds": alone[1],
        "both_at_once_seconds": (over - began).total_seconds(),
        "together": (over - began).total_seconds() / sum(alone),
        "cancel_learning_seconds": statistics.median(canceled(client, learning) for _ in range(turns)),
        "cancel_canvas_seconds": statistics.median(canceled(client, canvas) for _ in range(turns)),
        **huge(client, {**sample, "params": HUGE}),
        "killed_worker_seconds": taken_over(client, learning),
    }


def canceled(client: httpx.Client, body: dict[str, Any]) -> float:
    """Seconds from the request to cancel a job at work to its end."""
    job = at_work(client, post(client, "/v1/jobs", json=body))
    began_at = time.monotonic()
    client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
    until(client, job, lambda job: job["status"] == "canceled")
    return time.monotonic() - began_at


def taken_over(client: httpx.Client, body: dict[str, Any]) -> float:
    """Seconds from the death of a worker and its process to the next attempt at their job."""
    job = at_work(client, post(client, "/v1/jobs", json=body))
    for process in worker_of("train"):
        process.kill()
    began_at = time.monotonic()
    until(client, job, lambda job: job["attempt"] == 2)
    taken = time.monotonic() - began_at
    client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
    return taken


def huge(client: httpx.Client, body: dict[str, Any]) -> dict[str, float]:
    """How long a canvas takes, and the memory of the process that draws it, at most."""
    job = ended(client, post(client, "/v1/jobs", json=body))
    held = (Path(f"/proc/{process.pid}/status").read_text() for process in worker_of("sample"))
    peaks = [int(line.split()[1]) for status in held for line in status.splitlines() if line.startswith("VmHWM")]
    return {"canvas_8192_seconds": seconds(job), "canvas_8192_peak_mib": max(peaks) / 1024}


def worker_of(queue: str) -> list[psutil.Process]:
    """A worker of ours and its process."""
    for process in psutil.Process().children(recursive=True):
        if {"worker", queue} <= set(process.cmdline()):
            return [process, *process.children(recursive=True)]
    raise SystemExit(f"no worker of the queue {queue} was found")


def at_work(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """The job, when some of its work is done."""
    return until(client, job, lambda job: job["status"] == "running" and job["progress"]["fraction"] > 0)


def until(client: httpx.Client, job: dict[str, Any], holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    while not holds(job):
        if job["status"] in ("succeeded", "failed"):
            raise SystemExit(f"{job['kind']} {job['status']}: {job['error']}")
        time.sleep(0.02)
        job = client.get(f"/v1/jobs/{job['id']}").raise_for_status().json()
    return job


def waited(job: dict[str, Any]) -> float:
    """Seconds from its row to its first claim."""
    created, started = (datetime.fromisoformat(job[name]) for name in ("created_at", "started_at"))
    return (started - created).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
