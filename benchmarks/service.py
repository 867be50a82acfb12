"""How soon the service starts and begins a job, and what training and sampling cost each other on one machine.

    python benchmarks/service.py [--turns 5] [--json FILE]

Imports are timed in processes of their own, in turns with those of a bare FastAPI app. Then `genconvnet serve` runs
with a new data folder. Training and sampling run one after the other and then at once: `together` is the time of both
at once over the sum of their times alone. Two kinds of jobs are canceled: one that learns, and one in the middle of a
step on a large canvas. A canvas of 8192 x 8192 in colour is drawn, and the peak memory of the process that draws it is
read. In the end the worker that learns is killed together with its process.
"""

import argparse
import io
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
from report import markdown_table, write_json
from service_client import (
    ROOT,
    TEXTURE,
    post_job,
    run_job,
    running_service,
    seconds_between,
    upload,
    wait_for_success,
    wait_until_ready,
)

BARE = "from fastapi import FastAPI; app = FastAPI()"
OURS = "import api.app"
TRAIN = {"iterations": 300, "keep_nearest": False, "seed": 1}
LONG = {**TRAIN, "iterations": 20_000, "checkpoint_seconds": 2}
SAMPLE = {"count": 4, "width": 384, "height": 384, "steps": 60, "seed": 1}
CANVAS = {"count": 1, "width": 4096, "height": 4096, "steps": 1000, "seed": 1}
HUGE = {"count": 1, "width": 8192, "height": 8192, "steps": 3, "seed": 1, "tileable": True}

Job = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="number of repetitions of the short measurements")
    parser.add_argument("--json", type=Path, default=Path("benchmark-output/service.json"), help="file for the figures")
    options = parser.parse_args(arguments)
    figures = measure_imports(options.turns)
    began_at = time.monotonic()
    with running_service() as client:
        figures["healthz_seconds"] = time.monotonic() - began_at
        wait_until_ready(client)
        figures["readyz_seconds"] = time.monotonic() - began_at
        figures |= measure_jobs(client, options.turns)
    write_json(options.json, figures)
    sys.stdout.write(markdown_table(("what", "figure"), [(name, f"{figure:.3f}") for name, figure in figures.items()]))
    return 0


def measure_imports(turns: int) -> dict[str, float]:
    """Return the median seconds of a process that imports the API, of one that imports a bare app, and their ratio."""
    seconds: dict[str, list[float]] = {BARE: [], OURS: []}
    for _ in range(turns):
        for source, taken in seconds.items():
            began_at = time.monotonic()
            subprocess.run([sys.executable, "-c", source], check=True, cwd=ROOT)
            taken.append(time.monotonic() - began_at)
    bare, ours = (statistics.median(taken) for taken in seconds.values())
    return {"import_bare_fastapi_seconds": bare, "import_api_seconds": ours, "import_ratio": ours / bare}


def measure_jobs(client: httpx.Client, turns: int) -> dict[str, float]:
    train = {"kind": "train", "dataset_id": upload(client, _colour_texture()), "preset": "quick", "params": TRAIN}
    learned = run_job(client, train)
    sample = {"kind": "sample", "model_id": learned["model_id"], "params": SAMPLE}
    small = {**sample, "params": {"count": 1, "steps": 1}}
    run_job(client, sample)  # now both workers are warm
    waits = [seconds_between(run_job(client, small), "created_at", "started_at") for _ in range(turns)]
    return {
        "queued_to_running_seconds": statistics.median(waits),
        **measure_together(client, train, sample),
        "cancel_learning_seconds": time_cancel(client, {**train, "params": LONG}, turns),
        "cancel_canvas_seconds": time_cancel(client, {**sample, "params": CANVAS}, turns),
        **measure_canvas(client, {**sample, "params": HUGE}),
        "killed_worker_seconds": time_takeover(client, {**train, "params": LONG}),
    }


def measure_together(client: httpx.Client, train: Job, sample: Job) -> dict[str, float]:
    """Run a training and a sampling job one after the other, then at once."""
    alone = [seconds_between(run_job(client, body), "started_at", "finished_at") for body in (train, sample)]
    jobs = [post_job(client, body) for body in (train, sample)]
    both = [wait_for_success(client, job) for job in jobs]
    began = min(datetime.fromisoformat(job["started_at"]) for job in both)
    ended = max(datetime.fromisoformat(job["finished_at"]) for job in both)
    at_once = (ended - began).total_seconds()
    return {
        "training_alone_seconds": alone[0],
        "sampling_alone_seconds": alone[1],
        "both_at_once_seconds": at_once,
        "together": at_once / sum(alone),
    }


def time_cancel(client: httpx.Client, body: Job, turns: int) -> float:
    """Return the median seconds from the request to cancel a running job to the job's end."""
    seconds = []
    for _ in range(turns):
        job = start(client, body)
        began_at = time.monotonic()
        client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
        wait_until(client, job, lambda job: job["status"] == "canceled")
        seconds.append(time.monotonic() - began_at)
    return statistics.median(seconds)


def measure_canvas(client: httpx.Client, body: Job) -> dict[str, float]:
    """Return the seconds that a large canvas takes, and the peak memory of the process that draws it."""
    job = run_job(client, body)
    statuses = [Path(f"/proc/{process.pid}/status").read_text() for process in worker_processes("sample")]
    peaks = [int(line.split()[1]) for status in statuses for line in status.splitlines() if line.startswith("VmHWM")]
    return {
        "canvas_8192_seconds": seconds_between(job, "started_at", "finished_at"),
        "canvas_8192_peak_mib": max(peaks) / 1024,
    }


def time_takeover(client: httpx.Client, body: Job) -> float:
    """Return the seconds from the death of the training worker to the next attempt at its job."""
    job = start(client, body)
    for process in worker_processes("train"):
        process.kill()
    began_at = time.monotonic()
    wait_until(client, job, lambda job: job["attempt"] == 2)
    seconds = time.monotonic() - began_at
    client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
    return seconds


def start(client: httpx.Client, body: Job) -> Job:
    """Post a job and return it when a part of its work is done."""
    job = post_job(client, body)
    return wait_until(client, job, lambda job: job["status"] == "running" and job["progress"]["fraction"] > 0)


def wait_until(client: httpx.Client, job: Job, holds: Callable[[Job], bool]) -> Job:
    """Poll the job until the condition holds; exit if it ends before."""
    while not holds(job):
        if job["status"] in ("succeeded", "failed"):
            raise SystemExit(f"{job['kind']} {job['status']}: {job['error']}")
        time.sleep(0.02)
        job = client.get(f"/v1/jobs/{job['id']}").raise_for_status().json()
    return job


def worker_processes(queue: str) -> list[psutil.Process]:
    """Return the worker of a queue, and the process that works for it."""
    for process in psutil.Process().children(recursive=True):
        if {"worker", queue} <= set(process.cmdline()):
            return [process, *process.children(recursive=True)]
    raise SystemExit(f"no worker of the queue {queue} was found")


def _colour_texture() -> bytes:
    """Return the example texture as a PNG with three channels."""
    content = io.BytesIO()
    with Image.open(TEXTURE) as grey:
        grey.convert("RGB").save(content, "png")
    return content.getvalue()


if __name__ == "__main__":
    sys.exit(main())
