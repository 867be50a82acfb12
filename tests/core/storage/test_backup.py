"""Backups: all rows and files are restored, on either kind of database; incomplete or altered archives are refused."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from support import migrations, rows
from support.rows import DONE

from api.retention_sweep import sweep
from api.settings import ApiSettings
from core.jobs import requests, running
from core.jobs.leases import JobLease
from core.jobs.results import NewArtifact
from core.schemas.jobs import JobStatus, Queue
from core.storage import backup, restore, revision
from core.storage.backup import BackupFailed, back_up, tables_of
from core.storage.backup_archive import BadArchive
from core.storage.blobs import Blobs
from core.storage.database import Database, UnknownCommit
from core.storage.idempotency import Idempotency
from core.storage.restore import NotEmpty
from core.storage.tables import ApiKey, DatasetImage, Webhook

SECRET = bytes(range(32))
CUTS = (0.1, 0.5, 0.7, 0.9, 0.97)


@dataclass(frozen=True)
class Source:
    """A database with rows of many kinds, its files, and a backup of both. Tests must not change it."""

    database: Database
    blobs: Blobs
    job_id: str  # of a running job with a checkpoint
    archive: bytes


@pytest.fixture(scope="module")
def source(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    folder = tmp_path_factory.mktemp("source")
    database = Database(f"sqlite:///{shutil.copy(sqlite_template, folder / 'rows.sqlite3')}")
    blobs = Blobs((folder / "blobs").as_uri())
    job_id = _fill(database, blobs)
    yield Source(database, blobs, job_id, _back_up(database, blobs, folder))
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


def _fill(database: Database, blobs: Blobs) -> str:
    """Add rows of many kinds and their files. Return the id of a running job with a checkpoint."""
    dataset = rows.add_dataset(database, idempotency=Idempotency("pictures", SECRET))
    stored = blobs.put(dataset.images[0].blob, b"picture")
    with database.write() as session:
        image = session.scalars(select(DatasetImage)).one()
        image.bytes, image.sha256 = stored.bytes, stored.sha256
        key = ApiKey(id="key_1", name="Ann", prefix="gcn_a", sha256=SECRET, admin=True)
        session.add(key)
        session.flush()
        session.add(Webhook(id="webhook_1", url="https://example.org", secret="whsec_x", owner_seq=key.seq))
    job_id = rows.accept(database, rows.train(dataset.id), Idempotency("mine", SECRET))
    lease = rows.claim(database, Queue.TRAIN)
    running.checkpoint(database, lease, blobs.put(lease.path("checkpoint"), b"learned so far"))
    preview = NewArtifact("preview.png", "image/png", blobs.put(lease.path("preview.png"), b"preview"), 4, 4)
    running.publish(database, lease, preview)
    running.record(database, lease, DONE, [(1, {"chain_std": 1.5}), (2, {"chain_std": 2.5})])
    return job_id


def _all_rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    with database.engine.connect() as connection:
        return {
            table.name: [
                dict(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            ]
            for table in tables_of(connection)
        }


def _back_up(database: Database, blobs: Blobs, folder: Path) -> bytes:
    back_up(database, blobs, folder / "backup.tar.gz")
    return (folder / "backup.tar.gz").read_bytes()


def _restore(target: Database, files: Blobs, archive: bytes) -> None:
    restore.restore(target, files, io.BytesIO(archive))


def _leave_killed_restore(files: Blobs) -> None:
    """Write the files that a restore leaves when it is killed."""
    files.put(restore.MARKER, b"")
    files.put("jobs/half/1/partial", b"")


def test_all_rows_and_files_are_restored_on_either_kind_of_database(
    database: Database, blobs: Blobs, target: Database, files: Blobs, tmp_path: Path
) -> None:
    job_id = _fill(database, blobs)
    archive = _back_up(database, blobs, tmp_path)
    assert [path.name for path in tmp_path.glob("backup*")] == ["backup.tar.gz"]
    _restore(target, files, archive)
    before, after = _all_rows(database), _all_rows(target)
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
    _restore(sqlite_target, each_blobs, source.archive)
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
    job_id = _fill(sqlite_database, blobs)
    migrations.downgrade(sqlite_database, released)
    with monkeypatch.context() as patch:  # the newest revision of that release
        patch.setattr(revision, "check", lambda _: released)
        archive = _back_up(sqlite_database, blobs, tmp_path)
    _restore(target, files, archive)
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
    _fill(database, blobs)
    lease = rows.claimed(database)
    running.checkpoint(database, lease, blobs.put(lease.path("checkpoint"), b"first"))
    replaced = _replace_before_read(database, blobs, lease, times=3)
    _restore(sqlite_target, files, _back_up(database, blobs, tmp_path))
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
    _fill(sqlite_database, blobs)
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


def test_a_restore_over_rows_or_files_is_refused_and_changes_nothing(
    source: Source, sqlite_target: Database, files: Blobs
) -> None:
    before = _all_rows(source.database)
    with pytest.raises(NotEmpty, match="has rows"):
        _restore(source.database, files, source.archive)
    assert _all_rows(source.database) == before
    with pytest.raises(NotEmpty, match="contains"):
        _restore(sqlite_target, source.blobs, source.archive)
    assert source.blobs.get(str(rows.row(source.database, source.job_id).checkpoint)) == b"learned so far"


def test_a_restore_deletes_the_files_of_a_killed_restore(source: Source, sqlite_target: Database, files: Blobs) -> None:
    _leave_killed_restore(files)
    _restore(sqlite_target, files, source.archive)
    assert sorted(files.paths()) == sorted(source.blobs.paths())


@pytest.mark.parametrize("content", [b"", b"no archive" * 100])
def test_files_of_a_killed_restore_are_kept_until_an_archive_was_recognised(
    sqlite_target: Database, files: Blobs, content: bytes
) -> None:
    _leave_killed_restore(files)
    with pytest.raises(BadArchive):
        _restore(sqlite_target, files, content)
    assert files.exists("jobs/half/1/partial")


def test_the_sweep_deletes_the_marker_of_a_killed_restore_once_there_are_rows(
    source: Source, sqlite_database: Database, blobs: Blobs, sqlite_target: Database, tmp_path: Path
) -> None:
    """Otherwise the next restore would delete the files of a service that was started after the killed one."""
    blobs.put(restore.MARKER, b"")
    sweep(sqlite_database, blobs, ApiSettings())
    assert blobs.exists(restore.MARKER)
    _fill(sqlite_database, blobs)
    sweep(sqlite_database, blobs, ApiSettings())
    assert not blobs.exists(restore.MARKER)
    with pytest.raises(NotEmpty):
        _restore(sqlite_target, blobs, source.archive)
    assert back_up(sqlite_database, blobs, tmp_path / "backup").files == 3


def test_files_are_kept_if_the_connection_is_lost_after_the_rows_were_committed(
    source: Source, sqlite_target: Database, files: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_at_revision = Database.fill_at_revision

    def lose_connection(*arguments: Any) -> int:
        fill_at_revision(*arguments)
        raise OSError("the connection was lost after the commit")

    monkeypatch.setattr(Database, "fill_at_revision", lose_connection)
    with pytest.raises(OSError, match="lost"):
        _restore(sqlite_target, files, source.archive)
    assert set(source.blobs.paths()) <= set(files.paths())
    assert rows.count(sqlite_target) == rows.count(source.database)
    with pytest.raises(NotEmpty):
        _restore(sqlite_target, files, source.archive)
    assert sorted(files.paths()) == sorted(source.blobs.paths()), "the marker is deleted"


@pytest.mark.parametrize("error", [OSError("lost"), UnknownCommit("COMMIT", {}, OSError("lost"))])
def test_a_restore_whose_rows_were_not_committed_can_be_repeated(
    source: Source, sqlite_target: Database, files: Blobs, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def lose_connection(*_: Any) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Database, "fill_at_revision", lose_connection)
        with pytest.raises(type(error), match="lost"):
            _restore(sqlite_target, files, source.archive)
    _restore(sqlite_target, files, source.archive)
    assert sorted(files.paths()) == sorted(source.blobs.paths())


Change = Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]


def _edited(archive: bytes, change: Change) -> bytes:
    """Return the archive with `change` applied to each member; None removes a member."""
    edited = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=edited, mode="w:gz") as new:
        for info in old:
            file = old.extractfile(info)
            assert file is not None
            if (changed := change(info, file.read())) is not None:
                info, content = changed
                info.size = len(content)
                new.addfile(info, io.BytesIO(content))
    return edited.getvalue()


def _cut(archive: bytes, share: float) -> bytes:
    return archive[: int(len(archive) * share)]


def _without_contents(archive: bytes) -> bytes:
    return _edited(archive, lambda info, content: None if info.name == "contents.jsonl" else (info, content))


def _with_damaged_picture(archive: bytes) -> bytes:
    return _edited(archive, lambda info, content: (info, content.replace(b"picture", b"Picture")))


def _of_newer_release(archive: bytes) -> bytes:
    def raise_revision(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if info.name == "backup.json":
            content = json.dumps({**json.loads(content), "revision": "9999"}).encode()
        return info, content

    return _edited(archive, raise_revision)


def _with_blobs_renamed(name: str, type_: bytes = tarfile.REGTYPE) -> Callable[[bytes], bytes]:
    def rename(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if info.name.startswith("blobs/"):
            info.name, info.type, info.linkname = name, type_, "/etc/passwd"
            return info, content if type_ == tarfile.REGTYPE else b""
        return info, content

    return lambda archive: _edited(archive, rename)


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (lambda _: b"", "begin|read"),
        (lambda _: b"no archive" * 100, "read"),
        *((lambda archive, share=share: _cut(archive, share), "cut short|read to the end") for share in CUTS),
        (_without_contents, "cut short"),
        (_with_damaged_picture, "SHA-256"),
        (_of_newer_release, "9999"),
        (_with_blobs_renamed("blobs/../../slip"), "not part of a backup"),
        (_with_blobs_renamed("/blobs/slip"), "not part of a backup"),
        (_with_blobs_renamed("blobs/a\nb"), "not part of a backup"),
        (_with_blobs_renamed("blobs/link", tarfile.SYMTYPE), "not part of a backup"),
        (_with_blobs_renamed("rows/alembic_version.jsonl"), "alembic_version|missing"),
    ],
)
def test_an_incomplete_or_altered_archive_is_refused_with_a_reason_and_changes_nothing(
    source: Source, sqlite_target: Database, files: Blobs, alter: Callable[[bytes], bytes], reason: str
) -> None:
    with pytest.raises(BadArchive, match=reason):
        _restore(sqlite_target, files, alter(source.archive))
    assert list(files.paths()) == []
    assert _all_rows(sqlite_target) == {}
