"""Whatever is wrong with the storage is one sentence that says what to do."""

import errno
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from core.runtime.settings import Settings
from core.runtime.startup import CannotStart
from core.storage.database import Database
from core.storage.startup import advice_for, check_blobs, open_database, reason_of, refusals_as_sentences


def _at(database: Database, revision: str) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


@pytest.mark.parametrize("upgrade", [True, False])
def test_an_empty_database_gets_its_tables_in_any_case(tmp_path: Path, upgrade: bool) -> None:
    with open_database(Settings(data_dir=tmp_path / "new"), upgrade=upgrade) as database:
        assert inspect(database.engine).has_table("jobs")


def test_only_a_service_changes_the_schema_of_an_older_release(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with open_database(settings) as database:
        _at(database, "0001")
    with pytest.raises(CannotStart, match="the schema of the database is 0001"), open_database(settings, upgrade=False):
        pass
    with pytest.raises(CannotStart, match=r"cannot be used .*already exists"), open_database(settings):
        pass  # the migrations run: the tables of the newest schema are there


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ada@host:port/rows", "GENCONVNET_DATABASE_URL is not a valid URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////proc/none/rows", "the folder of the database /proc/none cannot be created"),
        ("postgresql+psycopg://ada:hidden@127.0.0.1:1/rows", r"postgresql\+psycopg://ada:\*\*\*@127.0.0.1:1/rows"),
    ],
)
def test_a_url_that_cannot_be_used_is_named_without_its_password(url: str, said: str) -> None:
    with pytest.raises(CannotStart, match=said), open_database(Settings(database_url=url), upgrade=False):
        pass


def test_a_file_that_may_not_be_written_is_refused(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(sqlite_template, tmp_path / "genconvnet.sqlite3")

    def read_only(_: object) -> None:
        raise OperationalError("UPDATE", {}, _error(sqlite3.SQLITE_READONLY, "attempt to write a readonly database"))

    monkeypatch.setattr("core.storage.startup._check_writable", read_only)
    with (
        pytest.raises(CannotStart, match=r"readonly database.*make the file and its folder writable"),
        open_database(Settings(data_dir=tmp_path)),
    ):
        pass


def _error(code: int, said: str = "it says") -> sqlite3.Error:
    error = sqlite3.OperationalError(said)
    error.sqlite_errorcode = code
    return error


def _dbapi(original: Any) -> DBAPIError:
    return DBAPIError("SELECT 1", {}, original)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (_error(sqlite3.SQLITE_FULL), "free some space on its disk"),
        (_error(sqlite3.SQLITE_NOTADB), "restore a backup"),
        (_error(sqlite3.SQLITE_CORRUPT), "restore a backup"),
        (_error(sqlite3.SQLITE_BUSY), "another program keeps it locked"),
        (_error(sqlite3.SQLITE_CANTOPEN), "make the file and its folder writable"),
        (OSError(errno.ECONNREFUSED, "refused"), "is the server running"),
    ],
)
def test_each_error_has_its_advice(error: Exception, advice: str) -> None:
    assert advice in advice_for(_dbapi(error))


def test_the_reason_is_the_first_line_or_the_kind_of_error() -> None:
    assert reason_of(_dbapi(Exception("first\nsecond"))) == "first"
    assert reason_of(_dbapi(ValueError("  "))) == "ValueError"


def test_a_file_is_named_by_its_path_and_other_errors_are_left_as_they_are() -> None:
    url = make_url("sqlite:////srv/rows.sqlite3")
    with pytest.raises(CannotStart, match=r"the database /srv/rows.sqlite3 cannot be used \(it says\): "):
        _raise_within(url, _dbapi(_error(sqlite3.SQLITE_BUSY)))
    with pytest.raises(RuntimeError, match="a bug"):
        _raise_within(url, RuntimeError("a bug"))


def _raise_within(url: Any, error: Exception) -> None:
    with refusals_as_sentences(url):
        raise error


def test_the_folder_of_the_files_is_made_where_the_settings_say(tmp_path: Path) -> None:
    check_blobs(Settings(data_dir=tmp_path / "data"))
    assert (tmp_path / "data" / "blobs").is_dir()
    check_blobs(Settings(blob_url=(tmp_path / "other").as_uri()))
    assert (tmp_path / "other").is_dir()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///proc/none", "the folder of the files /proc/none cannot be created"),
        ("s3://", "GENCONVNET_BLOB_URL or a variable AWS_"),
    ],
)
def test_a_place_for_files_that_means_nothing_is_refused(url: str, said: str) -> None:
    with pytest.raises(CannotStart, match=said):
        check_blobs(Settings(blob_url=url))
