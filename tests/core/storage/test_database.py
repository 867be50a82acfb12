"""Connections: processes wait for a database that starts late or is locked; commits are durable."""

import contextlib
import shutil
import sqlite3
import threading
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from support import rows
from support.postgres import PostgresServer

from core.jobs import outcomes, requests, running
from core.schemas.jobs import Progress
from core.storage.database import Database

LATE_SECONDS = 0.4


def test_migration_waits_for_a_server_that_starts_late(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.storage.database.STARTUP_RETRY_SECONDS", 0.1)
    name = f"genconvnet_test_{uuid.uuid4().hex}"
    with postgres_server.fresh() as url:
        database = Database(url.replace(url.rsplit("/", 1)[1].split("?")[0], name))
        create = threading.Timer(LATE_SECONDS, postgres_server.execute, ("CREATE DATABASE {}", name))
        began_at = time.monotonic()
        create.start()
        try:
            database.migrate_when_available()
            assert time.monotonic() - began_at >= LATE_SECONDS
            database.ping()
        finally:
            create.join()
            database.dispose()
            postgres_server.execute("DROP DATABASE {} WITH (FORCE)", name)


def test_synchronous_commit_is_on_even_if_the_server_has_it_off(postgres_server: PostgresServer) -> None:
    with postgres_server.fresh() as url:
        postgres_server.execute("ALTER DATABASE {} SET synchronous_commit TO off", str(make_url(url).database))
        database = Database(url)
        with database.engine.connect() as connection:
            default = "SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'"
            assert connection.exec_driver_sql(default).scalar() == "off"
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        database.dispose()


def test_a_new_sqlite_file_that_another_process_has_locked_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # while this is open, SQLite refuses WAL mode without waiting
    leave = threading.Timer(LATE_SECONDS, other.execute, ("ROLLBACK",))
    database = Database(f"sqlite:///{path}")
    began_at = time.monotonic()
    leave.start()
    try:
        database.migrate()
        assert time.monotonic() - began_at >= LATE_SECONDS
        database.ping()
    finally:
        leave.join()
        other.close()
        database.dispose()


@pytest.mark.parametrize("of_an_older_release", [False, True])
def test_a_sqlite_file_shrinks_when_rows_are_deleted(tmp_path: Path, of_an_older_release: bool) -> None:
    path = tmp_path / "rows.sqlite3"
    if of_an_older_release:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE older (a)")  # fixes the file's mode, in which it keeps free pages
    database, other = Database(f"sqlite:///{path}"), Database(f"sqlite:///{path}")
    database.migrate()
    lease, kept = rows.claimed(database), rows.accept(database)
    points = [(step, {"error": step / 7, "note": "x" * 100}) for step in range(4_000)]
    running.record(database, lease, Progress(), points)
    outcomes.fail(database, lease, {"type": "t", "detail": "d"})
    assert rows.row(other, kept)  # a connection of another process stays open meanwhile
    database.release_free_pages()
    full = path.stat().st_size
    assert full > 800_000
    requests.delete(database, lease.job_id)
    released = database.release_free_pages()
    assert path.stat().st_size == full - released
    assert path.stat().st_size < 400_000
    assert path.with_name("rows.sqlite3-wal").stat().st_size == 0
    assert database.release_free_pages() == 0
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)  # incremental
    assert rows.row(other, kept)
    rows.accept(other)
    database.dispose()
    other.dispose()


def test_releasing_pages_waits_for_no_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite would wait until a long reader, such as a backup, ends, and keep all writers waiting meanwhile."""
    patience_seconds = 3600  # longer than any test
    monkeypatch.setattr("core.storage.database.BUSY_TIMEOUT_SECONDS", patience_seconds)
    database = Database(f"sqlite:///{tmp_path / 'rows.sqlite3'}")
    database.migrate()
    database.release_free_pages()  # those that a migration left
    with contextlib.closing(sqlite3.connect(tmp_path / "rows.sqlite3", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchone()
        rows.accept(database)
        assert database.release_free_pages() == 0
        rows.accept(database)
        with database.read() as session:
            assert session.scalar(text("PRAGMA busy_timeout")) == patience_seconds * 1000
    database.dispose()


def test_a_file_is_not_written_anew_on_a_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE older (a); INSERT INTO older VALUES (zeroblob(1000000))")
        connection.executescript("DROP TABLE older; CREATE TABLE other (a)")
    database = Database(f"sqlite:///{path}")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_500_000))
    assert database.release_free_pages() == 0
    monkeypatch.undo()
    assert database.release_free_pages() > 900_000
    database.dispose()


def test_releasing_pages_leaves_postgresql_alone(postgres_server: PostgresServer) -> None:
    database = Database(postgres_server.emptied())
    assert database.release_free_pages() == 0
    database.dispose()
