"""A restore overwrites nothing, and can be repeated if it was killed or lost its connection."""

from pathlib import Path
from typing import Any

import pytest
from support import rows
from support.backups import Source, all_rows, fill, restore_archive

from api.operations.retention_sweep import sweep
from api.settings import ApiSettings
from core.storage import restore
from core.storage.backup import back_up
from core.storage.backup_archive import BadArchive
from core.storage.blobs import Blobs
from core.storage.database import Database, UnknownCommit
from core.storage.restore import NotEmpty


def _leave_killed_restore(files: Blobs) -> None:
    """Write the files that a restore leaves when it is killed."""
    files.put(restore.MARKER, b"")
    files.put("jobs/half/1/partial", b"")


def test_a_restore_over_rows_or_files_is_refused_and_changes_nothing(
    source: Source, sqlite_target: Database, files: Blobs
) -> None:
    before = all_rows(source.database)
    with pytest.raises(NotEmpty, match="has rows"):
        restore_archive(source.database, files, source.archive)
    assert all_rows(source.database) == before
    with pytest.raises(NotEmpty, match="contains"):
        restore_archive(sqlite_target, source.blobs, source.archive)
    assert source.blobs.get(str(rows.row(source.database, source.job_id).checkpoint)) == b"learned so far"


def test_a_restore_deletes_the_files_of_a_killed_restore(source: Source, sqlite_target: Database, files: Blobs) -> None:
    _leave_killed_restore(files)
    restore_archive(sqlite_target, files, source.archive)
    assert sorted(files.paths()) == sorted(source.blobs.paths())


@pytest.mark.parametrize("content", [b"", b"no archive" * 100])
def test_files_of_a_killed_restore_are_kept_until_an_archive_was_recognised(
    sqlite_target: Database, files: Blobs, content: bytes
) -> None:
    _leave_killed_restore(files)
    with pytest.raises(BadArchive):
        restore_archive(sqlite_target, files, content)
    assert files.exists("jobs/half/1/partial")


def test_the_sweep_deletes_the_marker_of_a_killed_restore_once_there_are_rows(
    source: Source, sqlite_database: Database, blobs: Blobs, sqlite_target: Database, tmp_path: Path
) -> None:
    """Otherwise the next restore would delete the files of a service that was started after the killed one."""
    blobs.put(restore.MARKER, b"")
    sweep(sqlite_database, blobs, ApiSettings())
    assert blobs.exists(restore.MARKER)
    fill(sqlite_database, blobs)
    sweep(sqlite_database, blobs, ApiSettings())
    assert not blobs.exists(restore.MARKER)
    with pytest.raises(NotEmpty):
        restore_archive(sqlite_target, blobs, source.archive)
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
        restore_archive(sqlite_target, files, source.archive)
    assert set(source.blobs.paths()) <= set(files.paths())
    assert rows.count(sqlite_target) == rows.count(source.database)
    with pytest.raises(NotEmpty):
        restore_archive(sqlite_target, files, source.archive)
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
            restore_archive(sqlite_target, files, source.archive)
    restore_archive(sqlite_target, files, source.archive)
    assert sorted(files.paths()) == sorted(source.blobs.paths())
