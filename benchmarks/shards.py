"""How many more pictures a second several sampling workers draw than one, on this machine's processor.

    python benchmarks/shards.py [--workers 2] [--count 32] [--size 192] [--steps 50] [--preset texture-cpu] [--repeat 2]

Learns examples/texture.png once. Then `genconvnet serve` draws the same job with one worker that uses all cores, with
one worker that uses its share of them, with several workers that use a share each, and with several that divide the
cores among those that are busy. Prints one table: the best of --repeat runs of each, and whether the pictures equal
those of the first line, byte for byte.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from report import markdown_table
from service_client import run_job, running_service, seconds_between, upload

from core.recipe.presets import PRESETS
from core.runtime.processes import core_count

ITERATIONS = 20  # of learning; every net of the preset draws at the same speed
SHARED = "shared"
COLUMNS = ("workers", "threads each", "pictures/s", "times the first", "same pictures")


@dataclass(frozen=True)
class Result:
    """The fastest run with this many workers and threads (None: shared); `digests` are the sha256 of its pictures."""

    workers: int
    threads: int | None
    pictures_per_second: float
    digests: Sequence[str]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    cores = core_count()
    share = max(1, cores // options.workers)
    model_id = ""
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="genconvnet-shards-") as folder:
        for workers, threads in dict.fromkeys(
            [(1, cores), (1, share), (options.workers, share), (options.workers, None)]
        ):
            settings = {"GENCONVNET_SAMPLE_WORKERS": str(workers), "GENCONVNET_THREADS": str(threads or "")}
            with running_service(Path(folder), settings) as client:
                model_id = model_id or learn(client, options.preset)
                results.append(measure(client, model_id, options, workers, threads))
            sys.stderr.write(f"{workers} x {threads or SHARED}: {results[-1].pictures_per_second:.2f} pictures/s\n")
    sys.stdout.write(markdown_table(COLUMNS, [_cells(result, results[0]) for result in results]))
    return 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="number of sampling workers of the last line")
    parser.add_argument("--count", type=int, default=32, help="number of pictures of the job")
    parser.add_argument("--size", type=int, default=192, help="side of a picture in pixels")
    parser.add_argument("--steps", type=int, default=50, help="Langevin steps for each picture")
    parser.add_argument("--preset", choices=PRESETS, default="texture-cpu", help="preset that the net is learned with")
    parser.add_argument("--repeat", type=int, default=2, help="number of runs of each line; the best one counts")
    return parser.parse_args(arguments)


def learn(client: httpx.Client, preset: str) -> str:
    """Learn the example texture for a few iterations and return the model's id."""
    params = {"iterations": ITERATIONS, "seed": 1}
    job = run_job(client, {"kind": "train", "dataset_id": upload(client), "preset": preset, "params": params})
    return str(job["model_id"])


def measure(
    client: httpx.Client, model_id: str, options: argparse.Namespace, workers: int, threads: int | None
) -> Result:
    """Run the sample job `options.repeat` times after one run to warm up, and return the fastest run."""
    params = {"count": options.count, "width": options.size, "height": options.size, "steps": options.steps, "seed": 1}
    body = {"kind": "sample", "model_id": model_id, "params": params}
    run_job(client, body)
    jobs = [run_job(client, body) for _ in range(options.repeat)]
    digests = [artifact["sha256"] for artifact in jobs[0]["artifacts"]]
    seconds = min(seconds_between(job, "started_at", "finished_at") for job in jobs)
    return Result(workers, threads, options.count / seconds, digests)


def _cells(result: Result, first: Result) -> tuple[str, ...]:
    speed = result.pictures_per_second
    times, same = speed / first.pictures_per_second, "yes" if result.digests == first.digests else "no"
    return (str(result.workers), str(result.threads or SHARED), f"{speed:.2f}", f"{times:.2f}", same)


if __name__ == "__main__":
    sys.exit(main())
