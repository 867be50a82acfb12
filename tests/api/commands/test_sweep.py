"""`genconvnet sweep` prints what it deletes, and what is missing."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update
from support import rows
from typer.testing import Result

from core.runtime.settings import Settings
from core.schemas.times import DAY_SECONDS
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.storage.tables import Dataset

Command = Callable[..., Result]


@pytest.fixture
def orphan(sqlite_template: Path, tmp_path: Path) -> str:
    """The path of an old file without a row, in a data folder with a dataset whose file is missing."""
    settings = Settings(data_dir=tmp_path)
    shutil.copy(sqlite_template, tmp_path / "genconvnet.sqlite3")
    database = Database(settings.rows_url)
    database.release_free_pages()  # those that a migration left, which the sweep would report
    rows.add_dataset(database)
    with database.write() as session:  # files that are older than the first row are not touched
        session.execute(update(Dataset).values(created_at=Dataset.created_at - 20 * DAY_SECONDS))
    database.dispose()
    path = Blobs(settings.blobs_url).put("datasets/dataset_gone/0.png", b"abc").blob
    then = time.time() - 10 * DAY_SECONDS
    os.utime(tmp_path / "blobs" / path, (then, then))
    return path


def test_a_dry_run_lists_what_a_sweep_deletes(command: Command, orphan: str, tmp_path: Path) -> None:
    listed = command("sweep", "--dry-run").stdout.splitlines()
    assert listed == [
        f"{orphan}  3 bytes",
        "0 jobs, 1 orphaned files and 0 idempotency keys would be deleted: 3 bytes",
    ]
    assert (tmp_path / "blobs" / orphan).exists()
    file, total = (json.loads(line) for line in command("sweep", "--json").stdout.splitlines())
    assert file == {"path": orphan, "bytes": 3}
    assert (total["files"], total["bytes"], total["deleted"]) == (1, 3, True)
    assert not (tmp_path / "blobs" / orphan).exists()


def test_a_check_only_lists_what_is_missing(command: Command, orphan: str, tmp_path: Path) -> None:
    missing, total = command("sweep", "--check", code=1).stdout.splitlines()
    assert " lacks datasets/dataset_" in missing
    assert total == "1 files are missing"
    assert (tmp_path / "blobs" / orphan).exists()
    Blobs(Settings(data_dir=tmp_path).blobs_url).put(missing.split(" lacks ")[1], b"abc")
    assert command("sweep", "--check").stdout == "0 files are missing\n"
