"""How the service performs while it learns: many reads, event streams, jobs and uploads at once.

    python benchmarks/load.py [--seconds 60] [--rate 100] [--streams 200] [--jobs 500] [--uploads 1000] [--json FILE]

Starts `genconvnet serve` with a new data folder and a training job that runs as long as the benchmark. Then it measures
in turn: reads of all kinds at a fixed rate, each timed from the moment it was due; event streams that follow one job,
each of which must see every event; jobs posted by eight clients, each posted twice under its Idempotency-Key; uploads
of one megabyte each. Exits with 1 if a request was refused, a job doubled, an event missed or memory leaked.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
from load_phases import Setup, measure_jobs, measure_reads, measure_streams, measure_uploads
from report import markdown_table, write_json
from service_client import post_job, run_job, running_service, upload, wait_until_ready

TINY = {
    "image_size": 32,
    "layers": [{"filters": 8, "kernel_size": 5, "stride": 2}],
    "num_chains": 2,
    "langevin_steps": 5,
    "keep_nearest": False,
    "seed": 1,
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    with running_service(timeout=120) as client:
        wait_until_ready(client)
        setup = prepare(client)
        figures = asyncio.run(measure(str(client.base_url), setup, options))
        still_learns = client.get(f"/v1/jobs/{setup.learning_id}").json()["status"] == "running"
        client.post(f"/v1/jobs/{setup.learning_id}/cancel")
    write_json(options.json, figures)
    sys.stdout.write(markdown_table(("what", "figure"), [(name, f"{figure:g}") for name, figure in figures.items()]))
    wrong = [name for name, figure in figures.items() if name.endswith("_wrong") and figure]
    if not still_learns:
        wrong.append("the training job ended before the benchmark did")
    sys.stderr.write("".join(f"wrong: {reason}\n" for reason in wrong))
    return 1 if wrong else 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="duration of the reads")
    parser.add_argument("--rate", type=float, default=100, help="reads a second")
    parser.add_argument("--streams", type=int, default=200, help="number of event streams")
    parser.add_argument("--jobs", type=int, default=500, help="number of jobs")
    parser.add_argument("--uploads", type=int, default=1000, help="number of uploads")
    parser.add_argument("--json", type=Path, default=Path("benchmark-output/load.json"), help="file for the figures")
    return parser.parse_args(arguments)


def prepare(client: httpx.Client) -> Setup:
    """Upload a dataset, learn a small model from it, and start a training job that outlasts the benchmark."""
    dataset_id = upload(client)
    learned = run_job(client, {"kind": "train", "dataset_id": dataset_id, "params": {**TINY, "iterations": 20}})
    long = {"kind": "train", "dataset_id": dataset_id, "preset": "quick", "params": {"iterations": 100_000}}
    learning_id = post_job(client, long)["id"]
    while client.get(f"/v1/jobs/{learning_id}").json()["progress"]["iteration"] < 5:
        time.sleep(0.1)
    return Setup(dataset_id, learned, learning_id)


async def measure(url: str, setup: Setup, options: argparse.Namespace) -> dict[str, float]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits, trust_env=False) as client:
        figures = await measure_reads(client, setup, options.seconds, options.rate)
        figures |= await measure_streams(client, setup, options.streams)
        figures |= await measure_jobs(client, setup, options.jobs)
        return figures | await measure_uploads(client, options.uploads)


if __name__ == "__main__":
    sys.exit(main())
