"""`genconvnet backup` and `genconvnet restore`: what they print, and what they refuse in one line."""

import fcntl
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import rows
from support.backups import fill
from typer.testing import Result

from api.embedded.attached import LOCK
from core.runtime.settings import Settings
from core.storage.blobs import Blobs
from core.storage.database import Database

Command = Callable[..., Result]


@pytest.fixture
def filled(sqlite_template: Path, tmp_path: Path) -> Path:
    """A data folder with rows of many kinds, and three files."""
    settings = Settings(data_dir=tmp_path)
    shutil.copy(sqlite_template, tmp_path / "genconvnet.sqlite3")
    database = Database(settings.rows_url)
    fill(database, Blobs(settings.blobs_url))
    database.dispose()
    return tmp_path


def test_a_backup_is_restored_into_another_folder(command: Command, filled: Path) -> None:
    archive, other = filled / "a.backup", filled / "other"
    written = json.loads(command("backup", str(archive), "--json").stdout)
    assert (written["file"], written["files"]) == (str(archive), 3)
    said = command("restore", str(archive), "--data-dir", str(other)).stdout
    assert said == f"{archive}: {written['rows']} rows and 3 files were restored\n"
    database = Database(Settings(data_dir=other).rows_url)
    assert rows.count(database)["datasets"] == 1
    database.dispose()
    again = command("restore", str(archive), "--data-dir", str(other), code=1)
    assert again.stderr.endswith(". Nothing was changed\n")


def test_a_backup_overwrites_nothing_and_makes_no_database(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a.backup").touch()
    assert command("backup", str(tmp_path / "a.backup"), code=1).stderr.endswith("a.backup already exists\n")
    assert "there is no database in" in command("backup", str(tmp_path / "b.backup"), code=1).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.backup"]


def test_what_is_no_archive_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a.backup").write_bytes(b"no archive")
    said = command("restore", str(tmp_path / "a.backup"), "--data-dir", str(tmp_path / "new"), code=1).stderr
    assert said.startswith(f"genconvnet restore: cannot restore {tmp_path / 'a.backup'}: ")
    assert said.count("\n") == 1


def test_nothing_is_restored_below_a_running_service(command: Command, filled: Path) -> None:
    command("backup", str(filled / "a.backup"))
    (folder := filled / "new").mkdir()
    with (folder / LOCK).open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = command("restore", str(filled / "a.backup"), "--data-dir", str(folder), code=1).stderr
    assert f"a service is running on {folder}: stop it first" in said
    assert not (folder / "genconvnet.sqlite3").exists()
