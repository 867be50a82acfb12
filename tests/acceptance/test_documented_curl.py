"""The curl lines of docs/http.md and of the README run, one after another, against the service that tests share.

Where a line has `dataset_…`, `job_…` or `model_…`, the latest id of that kind is put in. What would take long is made
smaller. After each posted job the test waits for its end.
"""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.client import TINY
from support.service import Service

ROOT = Path(__file__).parents[2]
SMALLER = {
    '"preset": "quick", "params": {': f'"preset": "quick", "params": {{{json.dumps({**TINY, "iterations": 5})[1:-1]}, ',
    '"preset": "quick"}': f'"preset": "quick", "params": {json.dumps({**TINY, "iterations": 5})}}}',
    '"width": 512, "height": 256': '"width": 48, "height": 32, "steps": 5',
    '"mode": "attractor"': '"mode": "attractor", "steps": 5',
    '"count": 4': '"count": 1, "steps": 5',
    '"temperatures": 200': '"temperatures": 2, "chains": 2, "steps": 1',
    '"iterations": 700': '"iterations": 7',
}


def lines(document: str) -> list[str]:
    """Return the curl lines of a document; one that continues on the next line is one."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith("curl ")]


class Reader:
    """Somebody who types the lines of a document, and puts the ids of the answers into the next ones."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service, self.folder = service, folder
        self.ids: dict[str, list[str]] = {"dataset": [], "job": [], "model": []}

    def run(self, line: str) -> None:
        for long, short in SMALLER.items():
            line = line.replace(long, short, 1)
        for kind, ids in self.ids.items():
            for one in ids[-line.count(f"{kind}_…") :] if f"{kind}_…" in line else []:
                line = line.replace(f"{kind}_…", one, 1)
        assert "_…" not in line
        command = shlex.split(line.replace("http://127.0.0.1:8000", str(self.service.http.base_url).rstrip("/")))
        program, *words = command
        done = subprocess.run(
            [program, "-sS", "--fail-with-body", *words], cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        if "/cancel" not in line:  # the job may have ended: 409
            assert done.returncode == 0, (line, done.stdout, done.stderr)
        self._remember(done.stdout)

    def _remember(self, answer: str) -> None:
        if not answer.startswith("{"):
            return
        found: dict[str, Any] = json.loads(answer)
        kind = str(found.get("id", "")).partition("_")[0]
        if kind not in self.ids:
            return
        if found["id"] not in self.ids[kind]:
            self.ids[kind].append(found["id"])
        if kind == "job" and found["status"] != "canceled":
            job = self.service.succeeded(found["id"])
            if job["kind"] == "train" and job["model_id"] not in self.ids["model"]:
                self.ids["model"].append(job["model_id"])


@pytest.mark.parametrize("document", ["docs/http.md", "README.md"])
def test_the_curl_lines_run(document: str, service: Service, tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples/texture.png", tmp_path / "examples")
    hole = Image.open(ROOT / "examples/texture.png").convert("LA").resize((32, 32))
    hole.paste((0, 0), (8, 8, 16, 16))
    hole.save(tmp_path / "damaged.png")
    for name in ("albedo.png", "height.png"):
        hole.getchannel("L").save(tmp_path / name)
    found = lines(document)
    assert len(found) > 3
    reader = Reader(service, tmp_path)
    for line in found:
        reader.run(line)
    assert reader.ids["model"]
    assert (tmp_path / "artifacts.zip").stat().st_size > 0
