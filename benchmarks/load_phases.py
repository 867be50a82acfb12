"""The four phases of load.py: reads, event streams, jobs and uploads. Each returns its figures."""

import asyncio
import io
import itertools
import secrets
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image

JOB_CLIENTS, UPLOAD_CLIENTS = 8, 4
MEBIBYTE = 1 << 20
ALLOWED_GROWTH_MIB = 16  # on top of a tenth of the early memory: allocators keep what they once held


@dataclass(frozen=True)
class Setup:
    """What the requests of the benchmark refer to: a dataset, a finished training job, one that is still running."""

    dataset_id: str
    learned: dict[str, Any]
    learning_id: str


async def measure_reads(client: httpx.AsyncClient, setup: Setup, seconds: float, rate: float) -> dict[str, float]:
    """Time reads that are sent at a fixed rate, each from the moment it was due.

    A client that waited for each response before the next request would not see requests queue up.
    """
    paths = itertools.cycle(_paths(setup))
    taken: list[float] = []
    errors: Counter[str] = Counter()

    async def read(path: str, due: float) -> None:
        try:
            response = await client.get(path)
            if response.is_error:
                errors[f"{response.status_code} {path}"] += 1
        except httpx.HTTPError as error:
            errors[f"{type(error).__name__} {path}"] += 1
        taken.append(time.perf_counter() - due)

    began_at = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * rate)):
            due = began_at + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(read(next(paths), due))
    _print_errors(errors)
    taken.sort()
    return {
        "reads": len(taken),
        "reads_wrong": sum(errors.values()),
        "read_median_ms": 1000 * statistics.median(taken),
        "read_p99_ms": 1000 * taken[int(0.99 * len(taken))],
        "read_longest_ms": 1000 * taken[-1],
    }


def _paths(setup: Setup) -> list[str]:
    """Return the paths that the web page and clients poll."""
    learned = setup.learned
    pictures = [artifact["url"] for artifact in learned["artifacts"] if artifact["media_type"] == "image/png"]
    return [
        f"/v1/jobs/{setup.learning_id}",
        "/v1/jobs?limit=20",
        f"/v1/jobs/{learned['id']}",
        pictures[0],
        f"/v1/datasets/{setup.dataset_id}",
        f"/v1/jobs/{learned['id']}/metrics",
        "/v1/models",
        f"/v1/datasets/{setup.dataset_id}/images/0",
        "/healthz",
        f"/v1/models/{learned['model_id']}",
    ]


async def measure_streams(client: httpx.AsyncClient, setup: Setup, count: int) -> dict[str, float]:
    """Follow one sample job with `count` event streams, all of which must see the same events, from first to last."""
    sample = {"kind": "sample", "model_id": setup.learned["model_id"], "params": {"count": 8, "steps": 2000}}
    job = (await client.post("/v1/jobs", json=sample)).raise_for_status().json()
    began_at = time.perf_counter()
    seen = await asyncio.gather(*(_events(client, job["id"]) for _ in range(count)))
    longest = max(seen, key=len)
    return {
        "streams": count,
        "events_of_each": len(longest),
        "streams_wrong": sum(events != longest or not events[-1].startswith("done") for events in seen),
        "streams_seconds": time.perf_counter() - began_at,
    }


async def _events(client: httpx.AsyncClient, job_id: str) -> list[str]:
    """Return the name and id of each event of the job, read until the stream ends."""
    async with client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
        response.raise_for_status()
        return [f"{event['event']} {event.get('id')}" async for event in _parse_events(response) if "event" in event]


async def _parse_events(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """Yield the fields of each server-sent event; the service sends no data of more than one line."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif fields:
            yield fields
            fields = {}


async def measure_jobs(client: httpx.AsyncClient, setup: Setup, count: int) -> dict[str, float]:
    """Post `count` jobs from several clients, each job twice under its Idempotency-Key, and wait until all are done."""
    body = {"kind": "sample", "model_id": setup.learned["model_id"], "params": {"count": 1, "steps": 1}}
    keys = iter([secrets.token_hex(8) for _ in range(count)])
    ids: dict[str, set[str]] = {}
    errors: Counter[str] = Counter()

    async def one_client() -> None:
        for key in keys:
            for _ in range(2):
                response = await client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
                if response.status_code != 202:
                    errors[f"{response.status_code} for a job"] += 1
                else:
                    ids.setdefault(key, set()).add(response.json()["id"])

    began_at = time.perf_counter()
    await asyncio.gather(*(one_client() for _ in range(JOB_CLIENTS)))
    accepted_seconds = time.perf_counter() - began_at
    made = {job_id for job_ids in ids.values() for job_id in job_ids}
    errors["doubled"] += sum(len(job_ids) - 1 for job_ids in ids.values())
    errors["missing"] += count - len(ids)
    states = Counter([(await _wait_for_end(client, job_id))["status"] for job_id in made])
    errors["not succeeded"] += count - states["succeeded"]
    _print_errors(errors)
    return {
        "jobs": len(made),
        "jobs_wrong": sum(errors.values()),
        "jobs_accepted_seconds": accepted_seconds,
        "jobs_done_seconds": time.perf_counter() - began_at,
    }


async def _wait_for_end(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    while True:
        job: dict[str, Any] = (await client.get(f"/v1/jobs/{job_id}")).raise_for_status().json()
        if job["status"] not in ("queued", "running"):
            return job
        await asyncio.sleep(0.2)


async def measure_uploads(client: httpx.AsyncClient, count: int) -> dict[str, float]:
    """Upload pictures of about 1 MB from several clients; compare the API's memory after a tenth and after all."""
    pictures = [_noise_png(number) for number in range(8)]
    numbers = iter(range(count))
    errors: Counter[str] = Counter()
    memory: list[float] = []

    async def one_client() -> None:
        for number in numbers:
            content = pictures[number % len(pictures)]
            response = await client.post("/v1/datasets", files={"images": (f"{number}.png", content)})
            if response.status_code != 201:
                errors[f"{response.status_code} for an upload"] += 1
            memory.append(_api_memory() / MEBIBYTE)

    began_at = time.perf_counter()
    await asyncio.gather(*(one_client() for _ in range(UPLOAD_CLIENTS)))
    _print_errors(errors)
    tenth = max(len(memory) // 10, 1)
    early, late = statistics.median(memory[tenth : 2 * tenth] or memory), statistics.median(memory[-tenth:])
    return {
        "uploads": count,
        "uploads_wrong": sum(errors.values()),
        "uploads_a_second": count / (time.perf_counter() - began_at),
        "upload_megabytes": len(pictures[0]) / 1e6,
        "memory_after_a_tenth_mib": early,
        "memory_at_the_end_mib": late,
        "memory_growth_wrong": max(0.0, late - 1.1 * early - ALLOWED_GROWTH_MIB),
    }


def _noise_png(seed: int) -> bytes:
    """Return a PNG of about 1 MB: noise cannot be compressed."""
    levels = np.random.default_rng(seed).integers(0, 256, (580, 580, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="PNG")
    return buffer.getvalue()


def _api_memory() -> int:
    """Return the resident memory of the API process and its children, in bytes."""
    for process in psutil.Process().children(recursive=True):
        if process.cmdline()[-2:] == ["-m", "api"]:
            return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    raise SystemExit("there is no API process")


def _print_errors(errors: Counter[str]) -> None:
    for what, times in errors.items():
        if times:
            sys.stderr.write(f"{times} x {what}\n")
