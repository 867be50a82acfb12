"""The schema, made by migrations, is the one that the tables' classes say."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import JSON, Column, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from support import rows

from core.jobs import running
from core.jobs.requests import Idempotency
from core.runtime.settings import Settings
from core.schemas.jobs import Queue
from core.storage import revision
from core.storage.backup import tables_of
from core.storage.database import MIGRATIONS, Database
from core.storage.tables import Base

TOGETHER = 4
NEWEST = revision.known()[-1]
MIGRATE = """
import os, sys
from core.storage.database import Database
import alembic.command, alembic.runtime.migration  # what takes time is done before they start
url, together = sys.argv[1], int(sys.argv[2])
read, write = os.pipe()
children = []
for _ in range(together):
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)  # until the other end is closed: all at once
        Database(url).migrate()
        sys.exit(0)
    children.append(child)
os.close(write)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Database]:
    opened = Database(empty_database_url)
    yield opened
    opened.dispose()


def test_migrating_nothing_makes_every_table(empty: Database) -> None:
    with pytest.raises(SQLAlchemyError):
        empty.ping()
    empty.migrate()
    empty.ping()
    assert set(inspect(empty.engine).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
    rows.accept(empty, rows.train(rows.add_dataset(empty).id))


def test_the_migrated_schema_is_that_of_the_tables(empty: Database) -> None:
    empty.migrate()
    with empty.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_rows_of_the_first_schema_are_kept_by_the_next(empty: Database) -> None:
    _migrate(empty, "0001")
    job = "'job_1', 'sample', 'sample', 'queued', '{\"count\": 2}', 'model_1', 1.5, '{}', '{}', 0, 0, 0, false"
    columns = "id, kind, queue, status, params, model_id, created_at, progress, metrics, attempt, strikes, token"
    with empty.write() as session:
        session.execute(text(f"INSERT INTO jobs ({columns}, cancel_requested) VALUES ({job})"))
    empty.migrate()
    found = rows.row(empty, "job_1")
    assert (found.kind, found.params, found.model_id, found.created_at) == ("sample", {"count": 2}, "model_1", 1.5)
    assert rows.claim(empty, Queue.SAMPLE).model_ids == ()
    _migrate(empty, "0001", back=True)
    with empty.read() as session:
        assert session.scalars(text("SELECT id FROM jobs")).all() == ["job_1"]


def test_going_back_from_shards_leaves_whole_jobs_and_their_files(empty: Database) -> None:
    _migrate(empty, "0002")
    columns = "id, kind, queue, status, params, created_at, progress, metrics, attempt, strikes, token"
    job = "'job_1', 'sample', 'sample', 'succeeded', '{\"count\": 2}', 1.5, '{}', '{}', 0, 0, 0, false"
    file = "1, 'synthesized-000.png', 'image/png', 3, 'x', 'nowhere/0'"
    with empty.write() as session:
        session.execute(text(f"INSERT INTO jobs ({columns}, cancel_requested) VALUES ({job})"))
        session.execute(text(f"INSERT INTO artifacts (job_seq, name, media_type, bytes, sha256, blob) VALUES ({file})"))
    empty.migrate()
    kept = rows.row(empty, "job_1")
    assert (kept.shards, kept.parent_seq, kept.first, len(kept.artifacts)) == (0, None, 0, 1)
    split = rows.accept(empty, rows.split())
    running.begin(empty, rows.claim(empty, Queue.SAMPLE))
    _migrate(empty, "0002", back=True)
    with empty.read() as session:
        found = session.execute(text("SELECT id, status FROM jobs ORDER BY seq")).all()
        assert found == [("job_1", "succeeded"), (split, "queued")]
        assert session.scalars(text("SELECT name FROM artifacts")).all() == ["synthesized-000.png"]


RENAMED = {"strikes": "failures", "rung_at": "notified_at"}  # columns, by revision 0005


@pytest.mark.parametrize("released", revision.known())
def test_a_row_of_every_table_of_every_released_schema_is_kept(empty: Database, released: str) -> None:
    _migrate(empty, released)
    with empty.write() as session:
        tables = tables_of(session.connection())
        for table in tables:
            session.execute(table.insert(), {column.name: _some_value(column) for column in table.columns})
        before = {table.name: dict(session.execute(select(table)).mappings().one()) for table in tables}
    empty.migrate()
    with empty.read() as session:
        for table in tables_of(session.connection()):
            if table.name in before:
                after = dict(session.execute(select(table)).mappings().one())
                expected = {RENAMED.get(name, name): value for name, value in before[table.name].items()}
                assert {**after, **expected} == after, table.name


def _some_value(column: Column[Any]) -> Any:
    """One for every number, so that each row refers to the one row of another table, and no job is its own parent."""
    if column.name == "parent_seq":
        return None
    if isinstance(column.type, JSON):
        return {"a": [1, None]}
    return {int: 1, float: 1.5, bool: True, str: "x", bytes: b"x" * 32}[column.type.python_type]


def test_idempotency_keys_outlive_their_new_owners_column(empty: Database) -> None:
    _migrate(empty, "0003")
    columns = "id, kind, queue, status, params, created_at, progress, metrics, attempt, strikes, token"
    job = "'job_1', 'sample', 'sample', 'queued', '{}', 1.5, '{}', '{}', 0, 0, 0, false"
    with empty.write() as session:
        session.execute(text(f"INSERT INTO jobs ({columns}, cancel_requested) VALUES ({job})"))
        asked = text("INSERT INTO idempotency_keys (key, request_sha256, job_seq) VALUES ('mine', :sha256, 1)")
        session.execute(asked, {"sha256": b"x" * 32})
    empty.migrate()
    assert rows.accept(empty, rows.sample(), Idempotency("mine", b"x" * 32)) == "job_1"
    _migrate(empty, "0003", back=True)
    empty.migrate()
    assert rows.accept(empty, rows.sample(), Idempotency("mine", b"x" * 32)) == "job_1"


def _migrate(database: Database, revision: str, *, back: bool = False) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        (command.downgrade if back else command.upgrade)(config, revision)


def test_migrating_again_changes_nothing_and_keeps_the_rows(database: Database) -> None:
    job_id = rows.accept(database)
    before = rows.everything(database, job_id)
    database.migrate()
    assert rows.everything(database, job_id) == before


def test_processes_that_start_together_migrate_in_turn(empty_database_url: str) -> None:
    program = [sys.executable, "-P", "-c", MIGRATE, empty_database_url, str(TOGETHER)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    database = Database(empty_database_url)
    with database.read() as session:
        assert session.scalars(text("SELECT version_num FROM alembic_version")).all() == [NEWEST]
    database.dispose()


def test_the_databases_clock_is_the_time_since_1970(database: Database) -> None:
    import time

    created = rows.row(database, rows.accept(database)).created_at
    assert created == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize("name", ["with spaces and ü", "per%20cent", "hash#mark", "what?", "plus+and&"])
def test_the_data_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    database = Database(Settings(data_dir=tmp_path / name).rows_url)
    database.migrate()
    rows.accept(database)
    database.dispose()
    assert (tmp_path / name / "genconvnet.sqlite3").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]
