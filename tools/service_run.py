"""A run of the service for the tools that make pictures: jobs that are made once, and pictures saved small."""

import io
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

ROOT = Path(__file__).parents[1]
STUDIO = ROOT / "api/web/studio"
EXAMPLES, IMAGES = STUDIO / "examples", ROOT / "docs/images"
MAX_BYTES = 290_000  # of a picture that `save_small` saves
Job = dict[str, Any]


class Run:
    """Jobs of a service, each made once."""

    def __init__(self, client: httpx.Client, chromium: str | None = None) -> None:
        self.client = client
        self.url = str(client.base_url).rstrip("/")
        self.chromium = chromium  # the browser of the screenshots; None for the one that is installed

    def dataset(self, files: Sequence[tuple[str, bytes]], maps: dict[str, str] | None = None) -> str:
        """Return the id of the dataset of files with these names; upload them if there is none.

        `maps` says which map of a material each file is.
        """
        for one in self._get("/v1/datasets?limit=100")["data"]:
            if [image["filename"] for image in one["images"]] == [name for name, _ in files]:
                return str(one["id"])
        data = {"maps": json.dumps(maps)} if maps else {}
        answer = self.client.post("/v1/datasets", data=data, files=[("images", file) for file in files])
        answer.raise_for_status()
        return str(answer.json()["id"])

    def example(self, pattern: str) -> str:
        return self.dataset([(path.name, path.read_bytes()) for path in sorted(EXAMPLES.glob(pattern))])

    def upload(self, name: str, *found: Image.Image) -> str:
        """Return the id of the dataset of pictures; one alone is named `name`, several `name-00.png` and so on."""
        names = [name] if len(found) == 1 else [f"{name}-{index:02d}.png" for index in range(len(found))]
        return self.dataset([(one, png(picture)) for one, picture in zip(names, found, strict=True)])

    def job(self, **body: Any) -> Job:
        """Return a job of this body that has succeeded; post it if there is none."""
        for one in self._get(f"/v1/jobs?limit=100&status=succeeded&kind={body['kind']}")["data"]:
            params = {name: one["params"].get(name) for name in body["params"]}
            if {**{name: one[name] for name in body if name != "params"}, "params": params} == body:
                return dict(one)
        job: Job = self.client.post("/v1/jobs", json=body).raise_for_status().json()
        while job["status"] in ("queued", "running"):
            time.sleep(1)
            job = self._get(f"/v1/jobs/{job['id']}")
        if job["status"] != "succeeded":
            raise SystemExit(f"{job['id']} {job['status']}: {job['error']}")
        return job

    def learn(self, pattern: str, preset: str, name: str, **params: Any) -> Job:
        """Learn examples with seed 1; return the job, whose model bears the name."""
        return self._learn(self.example(pattern), preset, name, params)

    def learn_maps(self, maps: dict[str, bytes], preset: str, name: str, **params: Any) -> Job:
        """The same of the aligned maps of a material, by role."""
        roles = {f"{role}.png": role for role in maps}
        dataset_id = self.dataset([(f"{role}.png", content) for role, content in maps.items()], roles)
        return self._learn(dataset_id, preset, name, params)

    def _learn(self, dataset_id: str, preset: str, name: str, params: dict[str, Any]) -> Job:
        job = self.job(kind="train", dataset_id=dataset_id, preset=preset, params={"seed": 1, **params})
        self.client.patch(f"/v1/models/{job['model_id']}", json={"name": name}).raise_for_status()
        return job

    def picture(self, job: Job, name: str) -> Image.Image:
        return opened(self.client.get(f"/v1/jobs/{job['id']}/artifacts/{name}").raise_for_status().content)

    def _get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(path).raise_for_status().json()
        return found


def opened(content: bytes) -> Image.Image:
    """Return a picture as 8-bit RGB."""
    picture = Image.open(io.BytesIO(content))
    if picture.mode.startswith("I;16"):
        picture = picture.point(lambda level: level / 256).convert("L")
    return picture.convert("RGB")


def png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def save_small(content: bytes, path: Path) -> None:
    """Save a PNG with as many colours, up to 256, as fit into MAX_BYTES."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    for colours in (256, 160, 96):
        picture.quantize(colours, kmeans=2, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            break
    print(f"{path}: {path.stat().st_size // 1000} kB")  # noqa: T201


@contextmanager
def running_service(url: str | None) -> Iterator[str]:
    """Yield the address of a running service."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("genconvnet")), "serve", "--port", "0", "--data-dir", folder]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            yield next(found.group() for line in process.stdout if (found := re.search(r"http://\S+", line)))
        finally:
            process.terminate()
            process.wait()
