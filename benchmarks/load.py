"""What the service bears while it learns: reads, event streams, jobs and uploads, many at once.

    python benchmarks/load.py [--seconds 60] [--rate 100] [--streams 200] [--jobs 500] [--uploads 1000] [--json FILE]

Starts `genconvnet serve` with a new data folder and a training job that lasts as long as the benchmark does, then, in
turn: reads of every sort at a fixed rate, each timed from the moment when it was due; event streams that follow one
job, each of which must have seen every event; jobs posted by eight clients, each once under its Idempotency-Key and
then again; uploads of one megabyte each. Exits with 1 where something was refused, doubled, missed or leaked.
"""

import argparse
import asyncio
import io
import itertools
import json
import secrets
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image
from shards import ended

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "examples"))

from demo import post, service  # noqa: E402  # the demo starts the service as a user does

TINY = {"image_size": 32, "num_chains": 2, "langevin_steps": 5, "keep_nearest": False, "seed": 1}
LAYERS = [{"filters": 8, "kernel_size": 5, "stride": 2}]
CLIENTS = 8
MEBIBYTE = 1 << 20
GROWTH_ALLOWED_MIB = 16  # and a tenth of what there was: allocators keep what they had once


def main(arguments: Sequence[str] | None = None) -> int:
    asked = read_arguments(arguments)
    with service() as url, httpx.Client(base_url=url, timeout=120) as client:
        while client.get("/readyz").is_error:
            time.sleep(0.1)
        scene = prepared(client)
        found = asyncio.run(measured(url, scene, asked))
        still_learns = client.get(f"/v1/jobs/{scene['learning']}").json()["status"] == "running"
        client.post(f"/v1/jobs/{scene['learning']}/cancel")
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write("| what | figure |\n| --- | --- |\n")
    sys.stdout.write("".join(f"| {name} | {figure:g} |\n" for name, figure in found.items()))
    wrong = [name for name, figure in found.items() if name.endswith("_wrong") and figure]
    if not still_learns:
        wrong.append("the training job ended before the benchmark did")
    sys.stderr.write("".join(f"wrong: {one}\n" for one in wrong))
    return 1 if wrong else 0


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long the reads go on")
    parser.add_argument("--rate", type=float, default=100, help="reads a second")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--json", type=Path, default=Path("benchmark-output/load.json"))
    return parser.parse_args(arguments)


def prepared(client: httpx.Client) -> dict[str, Any]:
    """A dataset, a small model that was learned from it, and a training job that goes on all the time."""
    with (ROOT / "examples" / "texture.png").open("rb") as file:
        dataset = post(client, "/v1/datasets", files={"images": ("texture.png", file)})["id"]
    tiny = {"kind": "train", "dataset_id": dataset, "params": {**TINY, "layers": LAYERS, "iterations": 20}}
    learned = ended(client, post(client, "/v1/jobs", json=tiny))
    long = {"kind": "train", "dataset_id": dataset, "preset": "quick", "params": {"iterations": 100_000}}
    learning = post(client, "/v1/jobs", json=long)["id"]
    while client.get(f"/v1/jobs/{learning}").json()["progress"]["iteration"] < 5:
        time.sleep(0.1)
    return {"dataset": dataset, "tiny": tiny, "learned": learned, "learning": learning}


async def measured(url: str, scene: dict[str, Any], asked: argparse.Namespace) -> dict[str, float]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        found = await reads(client, scene, asked.seconds, asked.rate)
        found |= await streams(client, scene, asked.streams)
        found |= await jobs(client, scene, asked.jobs)
        return found | await uploads(client, asked.uploads)


async def reads(client: httpx.AsyncClient, scene: dict[str, Any], seconds: float, rate: float) -> dict[str, float]:
    """At a fixed rate, whether or not the last one was answered: who waits for an answer does not see the queue."""
    paths = itertools.cycle(_paths(scene))
    taken: list[float] = []
    wrong: Counter[str] = Counter()

    async def read(path: str, due: float) -> None:
        try:
            answer = await client.get(path)
            if answer.is_error:
                wrong[f"{answer.status_code} {path}"] += 1
        except httpx.HTTPError as error:
            wrong[f"{type(error).__name__} {path}"] += 1
        taken.append(time.perf_counter() - due)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * rate)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(read(next(paths), due))
    _complain(wrong)
    taken.sort()
    return {
        "reads": len(taken),
        "reads_wrong": sum(wrong.values()),
        "read_median_ms": 1000 * statistics.median(taken),
        "read_p99_ms": 1000 * taken[int(0.99 * len(taken))],
        "read_longest_ms": 1000 * taken[-1],
    }


def _paths(scene: dict[str, Any]) -> list[str]:
    """What a page and a client ask for again and again."""
    learned, learning = scene["learned"], scene["learning"]
    pictures = [artifact["url"] for artifact in learned["artifacts"] if artifact["media_type"] == "image/png"]
    return [
        f"/v1/jobs/{learning}",
        "/v1/jobs?limit=20",
        f"/v1/jobs/{learned['id']}",
        pictures[0],
        f"/v1/datasets/{scene['dataset']}",
        f"/v1/jobs/{learned['id']}/metrics",
        "/v1/models",
        f"/v1/datasets/{scene['dataset']}/images/0",
        "/healthz",
        f"/v1/models/{learned['model_id']}",
    ]


async def streams(client: httpx.AsyncClient, scene: dict[str, Any], count: int) -> dict[str, float]:
    """That many clients follow one sample job from before it begins; who opens late is told what was before."""
    sample = {"kind": "sample", "model_id": scene["learned"]["model_id"], "params": {"count": 8, "steps": 2000}}
    job = (await client.post("/v1/jobs", json=sample)).raise_for_status().json()
    began = time.perf_counter()
    seen = await asyncio.gather(*(_events(client, job["id"]) for _ in range(count)))
    whole = max(seen, key=len)
    return {
        "streams": count,
        "events_of_each": len(whole),
        "streams_wrong": sum(one != whole or not one[-1].startswith("done") for one in seen),
        "streams_seconds": time.perf_counter() - began,
    }


async def _events(client: httpx.AsyncClient, job_id: str) -> list[str]:
    """Name and id of each event of the job, until its stream ends."""
    async with client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        answer.raise_for_status()
        return [f"{event['event']} {event.get('id')}" async for event in _fields(answer) if "event" in event]


async def _fields(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """The events of a stream as their fields (no data of more than one line is sent here)."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif fields:
            yield fields
            fields = {}


async def jobs(client: httpx.AsyncClient, scene: dict[str, Any], count: int) -> dict[str, float]:
    """Eight clients post them, each under a key of its own and then once more; all are done in the end."""
    body = {"kind": "sample", "model_id": scene["learned"]["model_id"], "params": {"count": 1, "steps": 1}}
    keys = iter([secrets.token_hex(8) for _ in range(count)])
    ids: dict[str, set[str]] = {}
    wrong: Counter[str] = Counter()

    async def one_client() -> None:
        for key in keys:
            for _ in range(2):
                answer = await client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
                if answer.status_code != 202:
                    wrong[f"{answer.status_code} for a job"] += 1
                else:
                    ids.setdefault(key, set()).add(answer.json()["id"])

    began = time.perf_counter()
    await asyncio.gather(*(one_client() for _ in range(CLIENTS)))
    accepted = time.perf_counter() - began
    made = {job_id for several in ids.values() for job_id in several}
    wrong["doubled"] += sum(len(several) - 1 for several in ids.values())
    wrong["missing"] += count - len(ids)
    states = Counter([(await _done(client, job_id))["status"] for job_id in made])
    wrong["not succeeded"] += count - states["succeeded"]
    _complain(wrong)
    return {
        "jobs": len(made),
        "jobs_wrong": sum(wrong.values()),
        "jobs_accepted_seconds": accepted,
        "jobs_done_seconds": time.perf_counter() - began,
    }


async def _done(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    while True:
        job: dict[str, Any] = (await client.get(f"/v1/jobs/{job_id}")).raise_for_status().json()
        if job["status"] not in ("queued", "running"):
            return job
        await asyncio.sleep(0.2)


async def uploads(client: httpx.AsyncClient, count: int) -> dict[str, float]:
    """Pictures of about 1 MB by four clients; what the API's processes hold after a tenth of them and after all."""
    pictures = [_noise(number) for number in range(8)]
    numbers = iter(range(count))
    wrong: Counter[str] = Counter()
    held: list[float] = []

    async def one_client() -> None:
        for number in numbers:
            content = pictures[number % len(pictures)]
            answer = await client.post("/v1/datasets", files={"images": (f"{number}.png", content)})
            if answer.status_code != 201:
                wrong[f"{answer.status_code} for an upload"] += 1
            held.append(_memory())

    began = time.perf_counter()
    await asyncio.gather(*(one_client() for _ in range(4)))
    _complain(wrong)
    tenth = max(len(held) // 10, 1)
    early, late = (statistics.median(some) / MEBIBYTE for some in (held[tenth : 2 * tenth] or held, held[-tenth:]))
    return {
        "uploads": count,
        "uploads_wrong": sum(wrong.values()),
        "uploads_a_second": count / (time.perf_counter() - began),
        "upload_megabytes": len(pictures[0]) / 1e6,
        "memory_after_a_tenth_mib": early,
        "memory_at_the_end_mib": late,
        "memory_growth_wrong": max(0.0, late - 1.1 * early - GROWTH_ALLOWED_MIB),
    }


def _noise(seed: int) -> bytes:
    """A PNG of about 1 MB: noise does not shrink."""
    levels = np.random.default_rng(seed).integers(0, 256, (580, 580, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="PNG")
    return buffer.getvalue()


def _memory() -> float:
    """Bytes that the API and what it started hold for themselves."""
    for process in psutil.Process().children(recursive=True):
        if process.cmdline()[-2:] == ["-m", "api"]:
            return float(sum(one.memory_info().rss for one in (process, *process.children(recursive=True))))
    raise SystemExit("there is no API process")


def _complain(wrong: Counter[str]) -> None:
    for what, times in wrong.items():
        if times:
            sys.stderr.write(f"{times} x {what}\n")


if __name__ == "__main__":
    sys.exit(main())
