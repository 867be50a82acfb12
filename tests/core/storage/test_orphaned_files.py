"""Files that no row names are deleted once they are old, and rows whose files are missing are found."""

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import update
from support import rows

from api.operations.retention_sweep import sweep
from api.settings import ApiSettings
from core.jobs import outcomes
from core.jobs.leases import JobLease
from core.jobs.reconciler import count_claimable
from core.runtime.settings import BadSettings
from core.schemas.jobs import Queue
from core.storage import orphaned_files
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.storage.tables import Job

DAY = 86_400.0


def test_files_younger_than_an_hour_are_never_orphaned() -> None:
    """They may belong to an upload that is not finished."""
    with pytest.raises(BadSettings, match="GENCONVNET_ORPHAN_DAYS"):
        ApiSettings(orphan_days=0.01)


def test_old_orphaned_files_are_deleted(database: Database, blobs: Blobs, tmp_path: Path) -> None:
    ended = rows.ended(database, blobs)
    running, dead = rows.claimed(database), _dead_attempt(database)
    dataset = rows.add_dataset(database)
    named = [dataset.images[0].blob, *(ended.path(name) for name in ("a.png", "checkpoint", "model"))]
    orphaned = ["datasets/dataset_x/0.png", "datasets/dataset_x/0.png.thumbnail.webp", dead.path("a.png")]
    orphaned.append(dead.path("b.png#1"))
    spared = [running.path("a.png"), "notes/of-others.txt", f"{named[0]}.thumbnail.webp"]
    for path in (named[0], *orphaned, *spared):
        _write(tmp_path / "blobs" / path)
    with database.write() as session:
        session.execute(update(Job).values(created_at=Job.created_at - 3 * DAY))
    assert sweep(database, blobs, ApiSettings()).files == [], "a row that names them may be about to be written"
    _age(tmp_path / "blobs", 2 * DAY)
    _write(tmp_path / "blobs" / "datasets/dataset_y/0.png")
    settings = ApiSettings()
    assert {file.path for file in sweep(database, blobs, settings, dry_run=True).files} == set(orphaned)
    assert {file.path for file in sweep(database, blobs, settings).files} == set(orphaned)
    left = {path.relative_to(tmp_path / "blobs").as_posix() for path in (tmp_path / "blobs").rglob("*.*")}
    assert left == {*named[:2], *spared, "datasets/dataset_y/0.png"}
    assert all(blobs.exists(path) for path in named)
    _age(tmp_path / "blobs", 2 * DAY)
    sweep(database, blobs, settings)
    assert not (tmp_path / "blobs/datasets/dataset_x").exists(), "empty folders are removed"


def test_files_older_than_the_first_row_are_not_deleted(database: Database, blobs: Blobs, tmp_path: Path) -> None:
    _write(tmp_path / "blobs" / "datasets/dataset_x/0.png")
    _age(tmp_path / "blobs", 2 * DAY)
    assert sweep(database, blobs, ApiSettings()).files == [], "without rows, the files may belong to another database"
    _dead_attempt(database)
    assert sweep(database, blobs, ApiSettings()).files == []
    assert blobs.exists("datasets/dataset_x/0.png")


def test_rows_whose_files_are_missing_are_found(database: Database, blobs: Blobs) -> None:
    ended = rows.ended(database, blobs)
    assert list(orphaned_files.find_missing(database, blobs)) == []
    blobs.delete(ended.path("a.png"))
    assert list(orphaned_files.find_missing(database, blobs)) == [
        orphaned_files.MissingFile(ended.job_id, ended.path("a.png"))
    ]


def _dead_attempt(database: Database) -> JobLease:
    """Add an attempt whose worker died; the job was claimed again, and has ended."""
    dead = rows.claim(database) if count_claimable(database, Queue.TRAIN) else rows.claimed(database)
    outcomes.abandon(database, dead)
    outcomes.fail(database, rows.claim(database), {"type": "t", "detail": "d"})
    return dead


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def _age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in folder.rglob("*"):
        os.utime(path, (then, then))
