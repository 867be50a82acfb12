"""`genconvnet doctor` finds a healthy set-up healthy, and names every fault that is really made."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support import rows
from support.valkey import Valkey

from core.broker.heartbeat import WorkerHeartbeat
from core.schemas.jobs import Queue
from core.storage.blobs import Blobs
from core.storage.database import Database

COMMAND = [str(Path(sys.executable).with_name("genconvnet")), "doctor"]


class SetUp:
    """A data folder with rows and a file, a broker, and workers that say that they listen, one a queue."""

    workers: list[WorkerHeartbeat]

    def __init__(self, folder: Path, broker: Valkey) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GENCONVNET_")}
        self.environment = {**kept, "GENCONVNET_DATA_DIR": str(folder), "GENCONVNET_BROKER_URL": broker.url}
        self.database = Database(f"sqlite:///{folder / 'genconvnet.sqlite3'}")
        self.database.migrate()
        self.blobs = Blobs((folder / "blobs").as_uri())
        self.path = rows.add_dataset(self.database).images[0].blob
        self.blobs.put(self.path, b"abc")

    def examined(self, *options: str, code: int, **environment: str) -> dict[str, dict[str, Any]]:
        done = self.run("--json", *options, **environment)
        assert done.returncode == code, (done.stdout, done.stderr)
        return {one["check"]: one for one in map(json.loads, done.stdout.splitlines())}

    def faults(self, *options: str, **environment: str) -> dict[str, str]:
        found = self.examined(*options, code=1, **environment)
        assert all(one["advice"] for one in found.values() if one["ok"] is False)
        return {name: one["told"] for name, one in found.items() if one["ok"] is False}

    def run(self, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        everything = {**self.environment, **environment}
        return subprocess.run(
            [*COMMAND, *options], env=everything, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture
def set_up(tmp_path: Path, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("core.broker.heartbeat.GONE_AFTER_SECONDS", 300)
    (tmp_path / "data").mkdir()
    made = SetUp(tmp_path / "data", own_valkey)
    with own_valkey.client() as redis:
        workers = [WorkerHeartbeat(redis, queue, "w") for queue in Queue]
        for worker in workers:
            worker.start()
        made.workers = workers
        yield made
        for worker in workers:
            worker.stop()
    made.database.dispose()


def test_a_healthy_set_up_is_found_healthy(set_up: SetUp) -> None:
    found = set_up.examined("--deep", code=0)
    assert all(one["ok"] for one in found.values()), found
    assert {"python", "torch", "data folder", "database", "clock", "blobs", "files", "broker", "workers"} <= set(found)
    assert "all 1 are there" in found["files"]["told"]
    lines = set_up.run().stdout.splitlines()
    assert [line[0] for line in lines] == ["✓"] * len(found)
    assert "\x1b" not in "".join(lines)


def test_each_fault_of_rows_and_files_is_named(set_up: SetUp) -> None:
    set_up.blobs.delete(set_up.path)
    job_id = rows.accept(set_up.database)
    rows.alter(set_up.database, job_id, created_at=1.0)
    struck = rows.accept(set_up.database)
    rows.alter(set_up.database, struck, failures=2)
    with set_up.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    faults = set_up.faults(GENCONVNET_HOST="0.0.0.0", GENCONVNET_MIN_FREE_BYTES=str(1 << 60))
    assert set(faults) == {"database", "files", "jobs", "keys", "data folder"}
    assert struck in faults["jobs"]
    assert "9999" in faults["database"]
    assert set_up.path in faults["files"]


def test_each_fault_of_the_broker_is_named(set_up: SetUp, own_valkey: Valkey) -> None:
    with own_valkey.client() as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
        set_up.workers[-1].stop()
        faults = set_up.faults()
        assert set(faults) == {"broker", "workers"}
        assert "allkeys-lru" in faults["broker"]
    own_valkey.stop()
    assert set(set_up.faults()) == {"broker", "workers"}


def test_a_folder_that_cannot_be_written_and_a_set_up_that_never_ran_are_told(set_up: SetUp, tmp_path: Path) -> None:
    taken = tmp_path / "a file"
    taken.write_text("no folder")
    assert "data folder" in set_up.faults("--data-dir", str(taken))
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    del set_up.environment["GENCONVNET_BROKER_URL"]
    found = set_up.examined("--data-dir", str(fresh), code=0)
    assert {name for name, one in found.items() if one["ok"] is None} >= {"database", "broker", "workers"}
