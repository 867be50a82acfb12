"""Backups: all rows and files are restored, on either kind of database; incomplete or altered archives are refused."""

import os
from pathlib import Path

import pytest
from sqlalchemy import text
from support import migrations, rows
from support.backups import SECRET, Source, all_rows, archive_of, fill, restore_archive

from core.jobs import requests, running
from core.jobs.leases import JobLease
from core.schemas.jobs import JobStatus, Queue
from core.storage import backup, revision
from core.storage.backup import BackupFailed, back_up
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.storage.idempotency import Idempotency


def test_all_rows_and_files_are_restored_on_either_kind_of_database(
    database: Database, blobs: Blobs, target: Database, files: Blobs, tmp_path: Path
) -> None:
    job_id = fill(database, blobs)
    archive = archive_of(database, blobs, tmp_path)
    assert [path.name for path in tmp_path.glob("backup*")] == ["backup.tar.gz"]
    restore_archive(target, files, archive)
    before, after = all_rows(database), all_rows(target)
    (running_job,), (queued_job,) = before.pop("jobs"), after.pop("jobs")
    assert after == before
    unleased = dict.fromkeys(("worker", "lease_until", "leased_at", "notified_at"))
    assert queued_job == {**running_job, **unleased, "status": "queued", "failures": 0}
    assert files.get(queued_job["checkpoint"]) == b"learned so far"
    assert sorted(files.paths()) == sorted(blobs.paths())
    lease = rows.claim(target, Queue.TRAIN)
    assert (lease.job_id, lease.attempt, lease.token) == (job_id, 2, 2)
    assert rows.accept(target, rows.train(), Idempotency("mine", SECRET)) == job_id
    (dataset,) = after["datasets"]
    assert rows.add_dataset(target, idempotency=Idempotency("pictures", SECRET)).id == dataset["id"]
    assert rows.add_dataset(target).seq == dataset["seq"] + 1


@pytest.mark.parametrize("each_blobs", ["s3"], indirect=True)
def test_files_are_restored_to_s3_and_backed_up_from_it(
    source: Source, sqlite_target: Database, each_blobs: Blobs, tmp_path: Path
) -> None:
    restore_archive(sqlite_target, each_blobs, source.archive)
    assert sorted(each_blobs.paths()) == sorted(source.blobs.paths())
    assert back_up(sqlite_target, each_blobs, tmp_path / "again").files == 3


@pytest.mark.parametrize("released", migrations.RELEASED)
def test_a_backup_of_an_older_schema_is_upgraded(
    target: Database,
    sqlite_database: Database,
    blobs: Blobs,
    files: Blobs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    released: str,
) -> None:
    job_id = fill(sqlite_database, blobs)
    migrations.downgrade(sqlite_database, released)
    with monkeypatch.context() as patch:  # the newest revision of that release
        patch.setattr(revision, "check", lambda _: released)
        archive = archive_of(sqlite_database, blobs, tmp_path)
    restore_archive(target, files, archive)
    job = rows.row(target, job_id)
    assert (JobStatus(job.status), job.failures, job.notified_at, job.priority) == (JobStatus.QUEUED, 0, None, 0)
    assert [point["step"] for point in requests.metrics(target, job_id)] == [1, 2]
    with target.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == revision.known()[-1]


def _replace_before_read(database: Database, blobs: Blobs, lease: JobLease, times: int) -> list[str]:
    """Replace the checkpoint of a job just before `blobs` reads it, `times` times. Return the paths of the new ones."""
    replaced: list[str] = []
    get = blobs.get

    def replace_and_get(path: str) -> bytes:
        if path.startswith(lease.path("checkpoint")) and len(replaced) < times:
            stored = blobs.put(lease.path(f"checkpoint-{len(replaced)}"), path.encode())
            blobs.delete(*running.checkpoint(database, lease, stored))
            replaced.append(stored.blob)
        return get(path)

    blobs.get = replace_and_get  # type: ignore[method-assign]
    return replaced


def test_a_file_that_is_replaced_during_the_backup_is_copied_as_its_row_describes_it(
    database: Database, blobs: Blobs, sqlite_target: Database, files: Blobs, tmp_path: Path
) -> None:
    fill(database, blobs)
    lease = rows.claimed(database)
    running.checkpoint(database, lease, blobs.put(lease.path("checkpoint"), b"first"))
    replaced = _replace_before_read(database, blobs, lease, times=3)
    restore_archive(sqlite_target, files, archive_of(database, blobs, tmp_path))
    assert rows.row(sqlite_target, lease.job_id).checkpoint == replaced[2]
    assert files.get(replaced[2]).decode() == replaced[1]
    assert not files.exists(replaced[0])


def test_a_backup_fails_if_files_are_always_replaced_before_they_are_copied(
    sqlite_database: Database, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = rows.claimed(sqlite_database)
    running.checkpoint(sqlite_database, lease, blobs.put(lease.path("checkpoint"), b"first"))
    monkeypatch.setattr(backup, "MAX_SNAPSHOTS", 3)
    _replace_before_read(sqlite_database, blobs, lease, times=100)
    with pytest.raises(BackupFailed, match="replaced faster"):
        back_up(sqlite_database, blobs, tmp_path / "backup")
    assert list(tmp_path.glob("backup*")) == []


def test_a_row_whose_file_is_missing_or_changed_fails_the_backup(
    sqlite_database: Database, blobs: Blobs, tmp_path: Path
) -> None:
    fill(sqlite_database, blobs)
    (path,) = (path for path in blobs.paths() if path.startswith("datasets"))
    for damage in (lambda: blobs.put(path, b"another"), lambda: blobs.delete(path)):
        damage()
        with pytest.raises(BackupFailed, match=path):
            back_up(sqlite_database, blobs, tmp_path / "backup")
    assert list(tmp_path.glob("backup*")) == []


def test_only_its_owner_can_read_a_backup(source: Source, tmp_path: Path) -> None:
    modes: list[int] = []
    archive, part = tmp_path / "backup", tmp_path / "backup.part"
    part.write_bytes(b"left by a backup that was killed")
    part.chmod(0o644)

    class WatchedBlobs(Blobs):
        def get(self, path: str) -> bytes:
            modes.append(part.stat().st_mode & 0o777)
            return super().get(path)

    assert source.blobs.folder is not None
    umask = os.umask(0)
    try:
        back_up(source.database, WatchedBlobs(source.blobs.folder.as_uri()), archive)
    finally:
        os.umask(umask)
    assert modes == [0o600] * 3
    assert archive.stat().st_mode & 0o777 == 0o600
    assert not part.exists()
