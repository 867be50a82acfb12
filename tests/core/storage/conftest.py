"""A database with files and a backup of them, and empty ones to restore into."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.backups import Source, archive_of, fill

from core.storage.blobs import Blobs
from core.storage.database import Database


@pytest.fixture(scope="module")
def source(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    folder = tmp_path_factory.mktemp("source")
    database = Database(f"sqlite:///{shutil.copy(sqlite_template, folder / 'rows.sqlite3')}")
    blobs = Blobs((folder / "blobs").as_uri())
    job_id = fill(database, blobs)
    yield Source(database, blobs, job_id, archive_of(database, blobs, folder))
    database.dispose()


@pytest.fixture
def target(empty_database_url: str) -> Iterator[Database]:
    """An empty database, of each kind in turn."""
    opened = Database(empty_database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def sqlite_target(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'target.sqlite3'}")
    yield opened
    opened.dispose()


@pytest.fixture
def files(tmp_path: Path) -> Blobs:
    """An empty blob store to restore into."""
    return Blobs((tmp_path / "restored").as_uri())
