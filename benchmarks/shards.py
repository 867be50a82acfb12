"""How many pictures a second one sampling worker draws, and how many several, on this machine's processor.

    python benchmarks/shards.py [--workers 2] [--count 32] [--size 192] [--steps 50] [--preset texture-cpu] [--repeat 2]

Learns examples/texture.png once, then has `genconvnet serve` draw the same job with one worker that takes all cores,
with one that takes its share of them, and with several that take a share each. Prints one table: the best of --repeat
runs each, and whether the pictures are those of the first line, byte for byte.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from core.recipe.presets import PRESETS
from core.runtime.processes import core_count

ROOT = Path(__file__).parents[1]
COLUMNS = ("workers", "threads each", "pictures/s", "times the first", "same pictures")


@dataclass(frozen=True)
class Result:
    """The fastest run of one line of the table; `digests` are the pictures'."""

    workers: int
    threads: int
    pictures_per_second: float
    digests: Sequence[str]


def main(arguments: Sequence[str] | None = None) -> int:
    asked = read_arguments(arguments)
    cores = core_count()
    share = max(1, cores // asked.workers)
    lines = dict.fromkeys([(1, cores), (1, share), (asked.workers, share)])
    results = []
    with tempfile.TemporaryDirectory(prefix="genconvnet-shards-") as folder:
        with serving(Path(folder), 1, cores) as client:
            model_id = learned(client, asked.preset)
        for workers, threads in lines:
            with serving(Path(folder), workers, threads) as client:
                results.append(measure(client, model_id, asked, workers, threads))
            sys.stderr.write(f"{workers} x {threads}: {results[-1].pictures_per_second:.2f} pictures/s\n")
    sys.stdout.write(markdown(results))
    return 0


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--count", type=int, default=32, help="pictures of the job")
    parser.add_argument("--size", type=int, default=192, help="side in pixels")
    parser.add_argument("--steps", type=int, default=50, help="Langevin steps of each picture")
    parser.add_argument("--preset", choices=PRESETS, default="texture-cpu", help="of the net that draws")
    parser.add_argument("--repeat", type=int, default=2)
    return parser.parse_args(arguments)


@contextlib.contextmanager
def serving(folder: Path, workers: int, threads: int) -> Iterator[httpx.Client]:
    """`genconvnet serve` with so many sampling workers, on the rows and files of `folder`."""
    environment = {"GENCONVNET_SAMPLE_WORKERS": str(workers), "GENCONVNET_THREADS": str(threads)}
    command = [
        str(Path(sys.executable).with_name("genconvnet")),
        "serve",
        "--port",
        "0",
        "--data-dir",
        f"{folder}/data",
    ]
    with (folder / "serve.log").open("a") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **environment}
        )
    try:
        assert process.stdout is not None
        found = next((match for line in process.stdout if (match := re.search(r"http://\S+", line))), None)
        if found is None:
            raise SystemExit((folder / "serve.log").read_text())
        with httpx.Client(base_url=found.group(), timeout=60) as client:
            yield client
    finally:
        process.terminate()
        process.communicate()


def learned(client: httpx.Client, preset: str) -> str:
    """The id of a model of the example; a few iterations suffice, since any net of the preset draws as fast."""
    picture = ROOT / "examples" / "texture.png"
    answer = client.post("/v1/datasets", files={"images": (picture.name, picture.read_bytes())}).raise_for_status()
    body = {
        "kind": "train",
        "dataset_id": answer.json()["id"],
        "preset": preset,
        "params": {"iterations": 20, "seed": 1},
    }
    return str(done(client, body)["model_id"])


def measure(client: httpx.Client, model_id: str, asked: argparse.Namespace, workers: int, threads: int) -> Result:
    """Draw the job `asked.repeat` times, after once to warm up."""
    params = {"count": asked.count, "width": asked.size, "height": asked.size, "steps": asked.steps, "seed": 1}
    body = {"kind": "sample", "model_id": model_id, "params": params}
    done(client, body)
    jobs = [done(client, body) for _ in range(asked.repeat)]
    digests = [one["sha256"] for one in jobs[0]["artifacts"]]
    return Result(workers, threads, asked.count / min(map(seconds, jobs)), digests)


def done(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """The job that is asked for, when it has succeeded."""
    return ended(client, client.post("/v1/jobs", json=body).raise_for_status().json())


def ended(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """The job, when it has succeeded."""
    while job["status"] in ("queued", "running"):
        time.sleep(0.1)
        job = client.get(f"/v1/jobs/{job['id']}").raise_for_status().json()
    if job["status"] != "succeeded":
        raise SystemExit(f"{job['kind']} {job['status']}: {job['error']}")
    return job


def seconds(job: dict[str, Any]) -> float:
    """From its first claim to its end, by the database's clock."""
    started, finished = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    return (finished - started).total_seconds()


def markdown(results: Sequence[Result]) -> str:
    first = results[0]
    lines = [COLUMNS, tuple("-" * len(column) for column in COLUMNS), *(_line(result, first) for result in results)]
    return "".join(
        "| " + " | ".join(cell.ljust(len(column)) for cell, column in zip(line, COLUMNS, strict=True)) + " |\n"
        for line in lines
    )


def _line(result: Result, first: Result) -> tuple[str, ...]:
    speed = result.pictures_per_second
    times, same = speed / first.pictures_per_second, "yes" if result.digests == first.digests else "no"
    return (str(result.workers), str(result.threads), f"{speed:.2f}", f"{times:.2f}", same)


if __name__ == "__main__":
    sys.exit(main())
