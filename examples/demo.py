"""What a client does: upload a texture, learn it, sample it, fetch the pictures. `make demo` runs this.

It starts `genconvnet serve` on a free port with a new data folder, and stops it at the end; with --url it talks to a
service that runs already, with the key in GENCONVNET_KEY where it needs one.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).parent
START_SECONDS = 60

console = Console()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a running service; one is started when absent")
    parser.add_argument("--picture", type=Path, default=HERE / "texture.png")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--out", type=Path, default=Path("demo-output"))
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = arguments.url or stack.enter_context(service())
        key = os.environ.get("GENCONVNET_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        client = stack.enter_context(httpx.Client(base_url=url, timeout=60, headers=headers))
        return run(client, arguments.picture, arguments.preset, arguments.out)


def run(client: httpx.Client, picture: Path, preset: str, out: Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    began_at = time.monotonic()
    with picture.open("rb") as file:
        dataset = post(client, "/v1/datasets", files={"images": (picture.name, file)}, data={"name": picture.stem})
    console.print(f"uploaded   {picture} as {dataset['id']}")

    train = post(client, "/v1/jobs", json={"kind": "train", "dataset_id": dataset["id"], "preset": preset})
    trained = follow(client, train, "learning")
    if trained is None:
        return 1
    seconds = time.monotonic() - began_at
    spread = f"std of chains {trained['metrics']['chain_std']:.1f}, of the picture {trained['metrics']['data_std']:.1f}"
    console.print(f"learned    {trained['model_id']} in {seconds:.0f} s; {spread}")

    params = {"count": 2, "width": 192, "height": 192, "tileable": True}
    sample = post(client, "/v1/jobs", json={"kind": "sample", "model_id": trained["model_id"], "params": params})
    sampled = follow(client, sample, "sampling")
    if sampled is None:
        return 1
    for job, folder in ((trained, out / "learned"), (sampled, out / "sampled")):
        download(client, job, folder)
    model = client.get(f"/v1/models/{trained['model_id']}/download").raise_for_status()
    (out / "model.safetensors").write_bytes(model.content)
    console.print(f"the pictures lie in [bold]{out.resolve()}[/bold]: learned/ and sampled/, beside model.safetensors")
    return 0


def post(client: httpx.Client, path: str, **content: object) -> dict:
    """POST; prints the service's own words where it refuses."""
    answer = client.post(path, **content)  # type: ignore[arg-type]
    if answer.is_error:
        console.print(f"[red]{path}: {answer.json()['detail']}")
        raise SystemExit(1)
    return answer.json()


def follow(client: httpx.Client, job: dict, verb: str) -> dict | None:
    """Show a progress bar until the job has ended; None where it did not succeed."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, TextColumn("{task.fields[about]}"), console=console) as bar:
        task = bar.add_task(f"{verb:<10}", total=1.0, about="")
        while job["status"] in ("queued", "running"):
            time.sleep(0.3)
            job = client.get(f"/v1/jobs/{job['id']}").raise_for_status().json()
            progress = job["progress"]
            about = (
                f"stage {progress['stage']}/{progress['stages']}, step {progress['iteration']}/{progress['iterations']}"
            )
            bar.update(task, completed=progress["fraction"], about=about)
    if job["status"] != "succeeded":
        console.print(f"[red]{verb} {job['status']}: {(job['error'] or {}).get('detail', '')}")
        return None
    return job


def download(client: httpx.Client, job: dict, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for artifact in job["artifacts"]:
        (folder / artifact["name"]).write_bytes(client.get(artifact["url"]).raise_for_status().content)


@contextlib.contextmanager
def service() -> Iterator[str]:
    """`genconvnet serve` on a free port, with a data folder of its own that goes with it."""
    with tempfile.TemporaryDirectory(prefix="genconvnet-demo-") as folder:
        log = Path(folder) / "serve.log"
        command = [
            str(Path(sys.executable).with_name("genconvnet")),
            "serve",
            "--port",
            "0",
            "--data-dir",
            f"{folder}/data",
        ]
        with log.open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            timer = threading.Timer(START_SECONDS, process.kill)
            timer.start()
            try:
                assert process.stdout is not None
                found = next((match for line in process.stdout if (match := re.search(r"http://\S+", line))), None)
                timer.cancel()
                if found is None:
                    console.print(log.read_text())
                    raise SystemExit("the service did not start")
                console.print(f"serving    {found.group()}")
                yield found.group()
            finally:
                timer.cancel()
                process.terminate()
                process.wait(timeout=60)


if __name__ == "__main__":
    sys.exit(main())
