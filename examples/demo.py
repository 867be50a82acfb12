"""A client of the service: upload a texture, learn it, sample from the model, download the pictures. See `make demo`.

It runs a service on a free port with a new data folder, which ends with it. With --url it uses a service that runs
already; if that service needs a key, put it in GENCONVNET_KEY.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from api.client import Client, ClientError, Job
from api.commands.following import progress_text
from api.embedded.attached import service_on
from core.schemas.jobs import Queue

COBBLES = Path(__file__).parents[1] / "api" / "web" / "studio" / "examples" / "cobbles.png"
# Of `photo`: a third of its updates, in half a minute on two cores.
SHORT = {"coarse_iterations": 300, "iterations": 500, "canvas_iterations": 150}

console = Console()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="URL of a running service; by default the demo starts one")
    parser.add_argument("--picture", type=Path, default=COBBLES, help="the texture to learn")
    parser.add_argument("--preset", default="photo", help="name of the training preset")
    parser.add_argument(
        "--size", type=int, default=256, help="side in pixels of what is learned and drawn; default: 256"
    )
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="folder for the pictures")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = arguments.url
        if url is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="genconvnet-demo-"))
            url = stack.enter_context(service_on(Path(folder), tuple(Queue))).url()
            console.print(f"serving    {url}")
        client = stack.enter_context(Client(url, os.environ.get("GENCONVNET_KEY")))
        try:
            run(client, arguments.picture, arguments.preset, arguments.size, arguments.out)
        except ClientError as error:
            console.print(f"[red]{error}")
            return 1
    return 0


def run(client: Client, picture: Path, preset: str, size: int, out: Path) -> None:
    """Learn `picture`, sample from the model and download everything to `out`."""
    began_at = time.monotonic()
    dataset = client.upload(picture, name=picture.stem)
    console.print(f"uploaded   {picture} as {dataset.id}")

    shorter = SHORT if preset == "photo" else {}
    trained = followed(client.train(dataset, preset=preset, image_size=size, **shorter), "learning")
    assert trained.model_id is not None
    seconds, measured = time.monotonic() - began_at, trained.metrics
    spread = f"std of chains {measured['chain_std']:.1f}, of the picture {measured['data_std']:.1f}"
    console.print(f"learned    {trained.model_id} in {seconds:.0f} s; {spread}")
    for warning in measured["remarks"]:
        console.print(f"warning    {warning}")

    sampled = followed(client.sample(trained.model_id, count=2, width=size, height=size, tileable=True), "sampling")
    written = [
        *trained.download(out / "learned"),
        *sampled.download(out / "sampled"),
        client.models.export(trained.model_id, out / f"{trained.model_id}.safetensors"),
    ]
    for path in written:
        console.print(f"wrote      {path}")


def followed(job: Job, verb: str) -> Job:
    """Show a progress bar until the job has ended, and return it. Raises JobFailed or JobCanceled."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[about]}"), console=console) as bar:
        task = bar.add_task(f"{verb:<10}", total=1.0, about="")
        for event in job.events():
            if (progress := event.progress) is not None:
                bar.update(task, completed=progress.fraction, about=progress_text(job, progress))
        job.wait()
        bar.update(task, completed=1.0, about=job.status)
    return job


if __name__ == "__main__":
    sys.exit(main())
