"""A process that starts together with its database, or with others, waits for its turn."""

import sqlite3
import threading
import time
import uuid
from pathlib import Path

from support.postgres import PostgresServer

from core.storage.database import Database

LATE_SECONDS = 1.5


def test_a_database_that_comes_late_is_waited_for(postgres_server: PostgresServer) -> None:
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


def test_commits_are_kept_whatever_the_servers_own_setting(postgres_server: PostgresServer) -> None:
    with postgres_server.fresh() as url:
        database = Database(url)
        with database.engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
            assert connection.exec_driver_sql("SHOW fsync").scalar() == "off", "the server of the tests is a fast one"
        database.dispose()


def test_a_new_file_that_another_process_is_turning_to_its_log_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # SQLite refuses a change of the journal beside this without waiting
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
