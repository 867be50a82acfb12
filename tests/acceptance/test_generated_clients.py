"""Clients that generators make of the OpenAPI document upload, train, follow and download."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import pictures
from support.client import TINY
from support.service import Service
from support.tools import missing, require

GENERATOR = "openapi-python-client==0.29.1"  # run in an environment of its own: it needs an older typer than we do
TYPESCRIPT = ("openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3", "@types/node@20")
PROGRAM = Path(__file__).with_name("generated_client.ts")


@pytest.fixture
def document(service: Service, tmp_path: Path) -> Path:
    """The service's OpenAPI document, as a file."""
    path = tmp_path / "openapi.json"
    path.write_text(service.http.get("/openapi.json").text)
    return path


@pytest.fixture
def python_client(document: Path) -> Iterator[ModuleType]:
    """The package that openapi-python-client makes, without a warning."""
    folder = document.with_name("client")
    uv = (require("uv", "pip install uv"), "tool", "run", "--from", GENERATOR, "openapi-python-client")
    config = document.with_name("config.json")
    config.write_text('{"post_hooks": []}')  # which would format it
    options = ("--path", document, "--output-path", folder, "--config", config, "--meta", "none", "--fail-on-warning")
    made = subprocess.run([*uv, "generate", *options], capture_output=True, text=True)
    if made.returncode != 0 and subprocess.run([*uv, "--version"], capture_output=True).returncode != 0:
        missing(GENERATOR, f"uv cannot install it: {made.stderr[-300:]}")
    assert made.returncode == 0, made.stdout
    sys.path.insert(0, str(folder.parent))
    before = set(sys.modules)
    yield importlib.import_module(folder.name)
    sys.path.remove(str(folder.parent))
    for name in set(sys.modules) - before:
        if name.split(".")[0] == folder.name:
            del sys.modules[name]


def test_a_python_client_uploads_trains_follows_and_downloads(service: Service, python_client: ModuleType) -> None:
    def call(tag: str, operation: str, *ids: str, **body: Any) -> Any:
        module = importlib.import_module(f"{python_client.__name__}.api.{tag}.{tag}_{operation}")
        return module.sync(*ids, client=client, **body)

    schemas = importlib.import_module(f"{python_client.__name__}.models")
    files = importlib.import_module(f"{python_client.__name__}.types")
    with python_client.Client(base_url=str(service.http.base_url), raise_on_unexpected_status=True) as client:
        client.get_httpx_client().timeout = service.http.timeout
        picture = files.File(payload=pictures.stripes(), file_name="stripes\u202f1.png", mime_type="image/png")
        dataset = call("datasets", "create", body=schemas.DatasetsCreateBody(images=[picture], name="stripes"))
        assert [image.filename for image in dataset.images] == ["stripes\u202f1.png"]
        params = schemas.LearningOverrides.from_dict(TINY)
        job = call("jobs", "create", body=schemas.TrainJobIn(kind="train", dataset_id=dataset.id, params=params))
        events = call("jobs", "events", job.id)
        assert "event: progress" in events
        assert events.rstrip().splitlines()[-3:-1] == ["event: done", 'data: {"status": "succeeded"}']
        job = call("jobs", "show", job.id)
        assert job.status == "succeeded"
        artifact = call("jobs", "artifact", job.id, "synthesized-000.png")
        assert pictures.pixels(artifact.payload.read()).shape == (32, 32)
        model = call("models", "show", job.model_id)
        assert len(call("models", "download", model.id).payload.read()) == model.bytes_
        problem = call("jobs", "show", "none")
        assert (problem.status, problem.title) == (404, "Not Found")


@pytest.mark.exhaustive
def test_a_typescript_client_uploads_trains_follows_and_downloads(service: Service, document: Path) -> None:
    npm, folder = require("npm", "apt-get install npm"), document.parent
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    (folder / "tsconfig.json").write_text(
        json.dumps(
            {"compilerOptions": {"strict": True, "module": "nodenext", "target": "es2022", "skipLibCheck": True}}
        )
    )
    (folder / "client.ts").write_text(PROGRAM.read_text())
    (folder / "stripes.png").write_bytes(pictures.stripes())
    _run(folder, npm, "install", "--no-audit", "--no-fund", *TYPESCRIPT)
    _run(folder, npm, "exec", "--", "openapi-typescript", document.name, "--output", "schema.d.ts")
    _run(folder, npm, "exec", "--", "tsc", "--project", ".")
    said = json.loads(_run(folder, "node", "client.js", str(service.http.base_url), json.dumps(TINY)))
    job = service.job(said["job"])
    assert said["events"][-1] == "done"
    assert "progress" in said["events"]
    by_name = {artifact["name"]: artifact["bytes"] for artifact in job["artifacts"]}
    assert said["picture_bytes"] == by_name["synthesized-000.png"]
    assert said["model_bytes"] == service.http.get(f"/v1/models/{job['model_id']}").json()["bytes"]
    # The seed that the service drew went through JavaScript and back.
    assert service.job(said["sampled_again"])["params"] == service.job(said["sampled"])["params"]


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
