"""The API as it is deployed: a process of its own, over real HTTP."""

import json
import os
import socket
from pathlib import Path
from typing import Any, Self

import httpx
from support import rows
from support.preloaded import PreloadedProcess
from support.waiting import PATIENCE_SECONDS, until

from core.storage.blobs import Blobs
from core.storage.database import Database

LIMITS = {
    "GENCONVNET_MAX_BODY_BYTES": 3_000_000,
    "GENCONVNET_MAX_FILE_BYTES": 600_000,
    "GENCONVNET_MAX_PICTURES": 12,
    "GENCONVNET_MAX_PICTURE_SIDE": 2_000,
    "GENCONVNET_MAX_PICTURE_PIXELS": 1_000_000,
}


class Api:
    """A running API, its rows and its files. As a context manager it stops at the end of the block."""

    def __init__(self, folder: Path, broker_url: str, database_url: str | None = None, **environment: str) -> None:
        """Start an API in `folder` and wait until it answers. Its database is a SQLite file there unless given."""
        database_url = database_url or f"sqlite:///{folder / 'rows.sqlite3'}"
        self.port = free_port()
        self.data_dir = folder / "data with spaces"
        self.log = folder / "api.log"
        self._read = 0
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GENCONVNET_")}
        ours = {
            "GENCONVNET_DATA_DIR": str(self.data_dir),
            "GENCONVNET_BROKER_URL": broker_url,
            "GENCONVNET_DATABASE_URL": database_url,
            "GENCONVNET_PORT": str(self.port),
            "GENCONVNET_LOG_FORMAT": "json",
            "GENCONVNET_RECONCILE_SECONDS": "0.5",
            "GENCONVNET_HEARTBEAT_SECONDS": "60",  # of claims that the tests make, and do not renew
            **{name: str(value) for name, value in LIMITS.items()},
        }
        self.process = PreloadedProcess("api", folder=folder, log=self.log, environment={**kept, **ours, **environment})
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE_SECONDS, verify=False)
        self._wait()
        self.database = Database(database_url)
        self.blobs = Blobs((self.data_dir / "blobs").resolve().as_uri())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)
        if hasattr(self, "database"):
            self.database.dispose()

    def stored(self) -> tuple[dict[str, int], set[str]]:
        """Return the number of rows of each table, and the paths of all files."""
        folder = self.data_dir / "blobs"
        return rows.count(self.database), {str(path) for path in folder.rglob("*") if path.is_file()}

    def breakages(self) -> list[dict[str, Any]]:
        """Return the log lines of requests that failed with a 500 since the last call."""
        with self.log.open() as log:
            log.seek(self._read)
            lines = [line for line in log if '"request_broke"' in line]
        self._read = self.log.stat().st_size
        return [json.loads(line) for line in lines]

    def upload(self, *files: tuple[str, bytes], name: str | None = None, maps: str | None = None) -> httpx.Response:
        """Post pictures, each (filename, content). maps: JSON."""
        parts = [("images", file) for file in files]
        texts = {key: text for key, text in (("name", name), ("maps", maps)) if text is not None}
        return self.client.post("/v1/datasets", files=parts, data=texts)

    def upload_zip(self, content: bytes, filename: str = "pictures.zip") -> httpx.Response:
        return self.client.post("/v1/datasets", files={"archive": (filename, content)})

    def post(self, body: object, key: str | None = None) -> httpx.Response:
        return self.client.post("/v1/jobs", json=body, headers={} if key is None else {"Idempotency-Key": key})

    def accepted(self, body: object, key: str | None = None) -> dict[str, Any]:
        """Post a job that must be accepted; return it."""
        answer = self.post(body, key)
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
        return job

    def _wait(self) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, f"the API did not start:\n{self.log.read_text()}"
            try:
                return self.client.get("/healthz").is_success
            except httpx.HTTPError:
                return False

        try:
            until(answers, describe=self.log.read_text)
        except AssertionError:
            self.stop()
            raise


def training(dataset_id: str, **params: Any) -> dict[str, Any]:
    """Return the body of a request for a training job."""
    return {"kind": "train", "dataset_id": dataset_id, "params": params}


def problem(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """Check that the answer is a problem document with one of `statuses`; return it."""
    assert answer.status_code in statuses, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"]
    assert body["title"]
    assert body["detail"]
    return body


def fields(answer: httpx.Response, status: int = 422) -> list[str]:
    """Return the fields that the problem names."""
    return [error["field"] for error in problem(answer, status)["errors"]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
