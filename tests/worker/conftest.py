"""Fixtures of the worker's tests: a worker without a process on SQLite, and settings for real processes."""

from pathlib import Path

import pytest
import torch
from redis import Redis
from support.valkey import Valkey
from support.worker_harness import WorkerHarness

from core.storage.blobs import Blobs
from core.storage.database import Database
from worker.settings import WorkerSettings

torch.set_num_threads(1)  # pictures this small gain nothing from more threads


@pytest.fixture
def harness(sqlite_database: Database, blobs: Blobs, redis: Redis, tmp_path: Path) -> WorkerHarness:
    return WorkerHarness(sqlite_database, blobs, redis, tmp_path)


@pytest.fixture
def worker_settings(sqlite_database: Database, valkey: Valkey, tmp_path: Path) -> WorkerSettings:
    url = sqlite_database.engine.url.render_as_string(hide_password=False)
    return WorkerSettings(
        data_dir=tmp_path, database_url=url, broker_url=valkey.url, device="cpu", threads=1, heartbeat_seconds=0.1
    )
