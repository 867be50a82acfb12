"""A workplace on the kind of database that matters least."""

from pathlib import Path

import pytest
import torch
from redis import Redis
from support.workplace import Workplace

from core.storage.blobs import Blobs
from core.storage.database import Database

torch.set_num_threads(1)  # pictures this small are not worth sharing out


@pytest.fixture
def workplace(sqlite_database: Database, blobs: Blobs, redis: Redis, tmp_path: Path) -> Workplace:
    return Workplace(sqlite_database, blobs, redis, tmp_path)
