"""`genconvnet doctor` finds nothing wrong with a healthy installation, and names each fault of a broken one."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support import rows
from support.valkey import Valkey
from typer.testing import CliRunner

from api.cli import app
from core.broker.heartbeat import WorkerHeartbeat
from core.schemas.jobs import Queue
from core.storage.blobs import Blobs
from core.storage.database import Database


class Installation:
    """A data folder with rows and a file, a broker, and the heartbeat of a worker for each queue."""

    workers: list[WorkerHeartbeat]

    def __init__(self, folder: Path, broker: Valkey) -> None:
        self.folder = folder
        self.environment = {"GENCONVNET_DATA_DIR": str(folder), "GENCONVNET_BROKER_URL": broker.url}
        self.database = Database(f"sqlite:///{folder / 'genconvnet.sqlite3'}")
        self.database.migrate()
        self.blobs = Blobs((folder / "blobs").as_uri())
        self.path = rows.add_dataset(self.database).images[0].blob
        self.blobs.put(self.path, b"abc")

    def examine(self, *options: str, exit_code: int, **environment: str) -> dict[str, dict[str, Any]]:
        """Run the command in this process; return its findings by the names of the checks."""
        done = CliRunner().invoke(app, ["doctor", "--json", *options], env={**self.environment, **environment})
        assert done.exit_code == exit_code, done.output
        return {one["check"]: one for one in map(json.loads, done.stdout.splitlines())}

    def faults(self, *options: str, **environment: str) -> dict[str, str]:
        found = self.examine(*options, exit_code=1, **environment)
        assert all(one["advice"] for one in found.values() if one["ok"] is False)
        return {name: one["message"] for name, one in found.items() if one["ok"] is False}


@pytest.fixture
def installation(tmp_path: Path, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("core.broker.heartbeat.EXPIRE_SECONDS", 300)
    monkeypatch.setattr("api.operations.doctor._check_torch", lambda: "not imported here")  # it takes seconds
    (tmp_path / "data").mkdir()
    made = Installation(tmp_path / "data", own_valkey)
    with own_valkey.client() as redis:
        workers = [WorkerHeartbeat(redis, queue, "w") for queue in Queue]
        for worker in workers:
            worker.start()
        made.workers = workers
        yield made
        for worker in workers:
            worker.stop()
    made.database.dispose()


def test_nothing_is_wrong_with_a_healthy_installation(installation: Installation) -> None:
    found = installation.examine("--deep", exit_code=0)
    assert all(one["ok"] for one in found.values()), found
    assert {
        "python",
        "torch",
        "settings",
        "data folder",
        "database",
        "clock",
        "blobs",
        "files",
        "broker",
        "workers",
    } <= set(found)
    assert "all 1 exist" in found["files"]["message"]
    lines = CliRunner().invoke(app, ["doctor"], env=installation.environment).stdout.splitlines()
    assert [line[0] for line in lines] == ["✓"] * len(found)
    assert "\x1b" not in "".join(lines)


def test_each_fault_of_rows_and_files_is_named(installation: Installation) -> None:
    installation.blobs.delete(installation.path)
    job_id = rows.accept(installation.database)
    rows.alter(installation.database, job_id, created_at=1.0)
    failing = rows.accept(installation.database)
    rows.alter(installation.database, failing, failures=2)
    with installation.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    faults = installation.faults(GENCONVNET_HOST="0.0.0.0", GENCONVNET_MIN_FREE_BYTES=str(1 << 60))
    assert set(faults) == {"database", "files", "jobs", "keys", "data folder"}
    assert failing in faults["jobs"]
    assert "9999" in faults["database"]
    assert installation.path in faults["files"]


def test_each_fault_of_the_broker_is_named(installation: Installation, own_valkey: Valkey) -> None:
    with own_valkey.client() as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
        installation.workers[-1].stop()
        faults = installation.faults()
        assert set(faults) == {"broker", "workers"}
        assert "allkeys-lru" in faults["broker"]
    own_valkey.stop()
    assert set(installation.faults()) == {"broker", "workers"}


def test_a_misspelt_variable_is_named(installation: Installation) -> None:
    faults = installation.faults(GENCONVNET_LEASE_SECOND="3", genconvnet_threds="1", GENCONVNET_THREADS="1")
    assert set(faults) == {"settings"}
    assert "GENCONVNET_LEASE_SECOND is no setting: did you mean GENCONVNET_LEASE_SECONDS?" in faults["settings"]
    assert "genconvnet_threds" in faults["settings"]


def test_a_folder_that_cannot_be_written_is_named(installation: Installation, tmp_path: Path) -> None:
    taken = tmp_path / "a file"
    taken.write_text("no folder")
    assert "data folder" in installation.faults("--data-dir", str(taken))
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    del installation.environment["GENCONVNET_BROKER_URL"]
    found = installation.examine("--data-dir", str(fresh), exit_code=0)
    assert {name for name, one in found.items() if one["ok"] is None} >= {"database", "broker", "workers"}
