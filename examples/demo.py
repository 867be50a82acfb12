"""A client of the service: upload a texture, learn it, sample from the model, download the pictures. See `make demo`.

It starts `genconvnet serve` on a free port with a new data folder, and stops it at the end. With --url it uses a
service that is already running; if that service needs a key, put it in GENCONVNET_KEY. The demo itself needs httpx and
rich, which come with genconvnet; on another machine: pip install httpx rich.
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
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).parent
START_SECONDS = 60

console = Console()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="URL of a running service; by default the demo starts one")
    parser.add_argument("--picture", type=Path, default=HERE / "texture.png", help="the texture to learn")
    parser.add_argument("--preset", default="quick", help="name of the training preset")
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="folder for the pictures")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = arguments.url
        if url is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="genconvnet-demo-"))
            url = stack.enter_context(running_service(Path(folder)))
            console.print(f"serving    {url}")
        key = os.environ.get("GENCONVNET_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # A service of this machine is reached without the proxies that the environment may name.
        is_local = httpx.URL(url).host in ("localhost", "127.0.0.1", "::1")
        client = stack.enter_context(httpx.Client(base_url=url, timeout=60, headers=headers, trust_env=not is_local))
        return run(client, arguments.picture, arguments.preset, arguments.out)


def run(client: httpx.Client, picture: Path, preset: str, out: Path) -> int:
    """Learn `picture`, sample from the model and download everything to `out`. Return the exit code."""
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
    for warning in trained["metrics"]["remarks"]:
        console.print(f"warning    {warning}")

    params = {"count": 2, "width": 192, "height": 192, "tileable": True}
    sample = post(client, "/v1/jobs", json={"kind": "sample", "model_id": trained["model_id"], "params": params})
    sampled = follow(client, sample, "sampling")
    if sampled is None:
        return 1
    for job, folder in ((trained, out / "learned"), (sampled, out / "sampled")):
        download(client, job, folder)
    model = client.get(f"/v1/models/{trained['model_id']}/download").raise_for_status()
    (out / "model.safetensors").write_bytes(model.content)
    console.print(f"wrote      learned/, sampled/ and model.safetensors in [bold]{out.resolve()}[/bold]")
    return 0


def post(client: httpx.Client, path: str, **content: object) -> dict:
    """POST and return the decoded response. If the service refuses, print its reason and exit."""
    response = client.post(path, **content)  # type: ignore[arg-type]
    if response.is_error:
        console.print(f"[red]{path}: {response.json()['detail']}")
        raise SystemExit(1)
    return response.json()


def follow(client: httpx.Client, job: dict, verb: str) -> dict | None:
    """Show a progress bar until the job has ended. Return the job, or None if it did not succeed."""
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
    """Save all artifacts of the job in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for artifact in job["artifacts"]:
        url = client.base_url.join(artifact["url"])  # behind a proxy the url begins with the service's own path
        (folder / artifact["name"]).write_bytes(client.get(url).raise_for_status().content)


@contextlib.contextmanager
def running_service(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
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
                console.print(log.read_text())
                raise SystemExit("the service did not start")
            yield found.group()
        finally:
            timer.cancel()
            process.terminate()
            process.communicate(timeout=60)


if __name__ == "__main__":
    sys.exit(main())
