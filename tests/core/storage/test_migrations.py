"""Migrations: the schema is that of `core.storage.tables`, and rows of every released schema are kept."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import JSON, Column, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from support import migrations, rows

from core.jobs import running
from core.runtime.settings import Settings
from core.schemas.jobs import Queue
from core.storage import revision
from core.storage.backup import tables_of
from core.storage.database import Database
from core.storage.idempotency import Idempotency
from core.storage.tables import Base

PROCESSES = 2
NEWEST = revision.known()[-1]
RENAMED = {"strikes": "failures", "rung_at": "notified_at"}  # columns renamed by revision 0005
MIGRATE = """
import os, sys
from core.storage.database import Database
import alembic.command, alembic.runtime.migration  # slow imports are done before the processes start
url, together = sys.argv[1], int(sys.argv[2])
read, write = os.pipe()
children = []
for _ in range(together):
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)  # returns when the parent closes its end, in all processes at once
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


def test_an_empty_database_gets_every_table(empty: Database) -> None:
    with pytest.raises(SQLAlchemyError):
        empty.ping()
    empty.migrate()
    empty.ping()
    assert set(inspect(empty.engine).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
    with empty.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    rows.accept(empty, rows.train(rows.add_dataset(empty).id))


@pytest.mark.parametrize("released", migrations.RELEASED)
def test_upgrade_keeps_a_row_of_every_table_and_downgrade_restores_it(empty: Database, released: str) -> None:
    migrations.upgrade(empty, released)
    with empty.write() as session:
        for table in tables_of(session.connection()):
            session.execute(table.insert(), {column.name: _some_value(column) for column in table.columns})
    before = _one_row_of_each_table(empty)
    assert "artifacts" in before
    empty.migrate()
    after = _one_row_of_each_table(empty)
    for table, row in before.items():
        kept = {RENAMED.get(column, column): value for column, value in row.items()}
        assert {**after[table], **kept} == after[table], table
    migrations.downgrade(empty, released)
    assert _one_row_of_each_table(empty) == before


def _one_row_of_each_table(database: Database) -> dict[str, dict[str, Any]]:
    """Return the row of each table that has one, by the table's name."""
    with database.read() as session:
        found = {
            table.name: session.execute(select(table)).mappings().all() for table in tables_of(session.connection())
        }
    assert all(len(rows) <= 1 for rows in found.values())
    return {table: dict(rows[0]) for table, rows in found.items() if rows}


def _some_value(column: Column[Any]) -> Any:
    """Return 1 for every number, so that each foreign key is valid, and no parent for the job."""
    if column.name == "parent_seq":
        return None
    if isinstance(column.type, JSON):
        return {"a": [1, None]}
    return {int: 1, float: 1.5, bool: True, str: "x", bytes: b"x" * 32}[column.type.python_type]


def test_a_job_of_the_first_schema_can_be_claimed_after_the_upgrade(empty: Database) -> None:
    migrations.upgrade(empty, "0001")
    _insert_job(empty, status="queued", model_id="model_1")
    empty.migrate()
    job = rows.row(empty, "job_1")
    assert (job.kind, job.params, job.model_id, job.created_at) == ("sample", {"count": 2}, "model_1", 1.5)
    lease = rows.claim(empty, Queue.SAMPLE)
    assert (lease.job_id, lease.model_ids) == ("job_1", ())


def test_downgrade_turns_a_split_job_into_one_that_is_queued_as_a_whole(empty: Database) -> None:
    migrations.upgrade(empty, "0002")
    _insert_job(empty, status="succeeded")
    artifact = "1, 'synthesized-000.png', 'image/png', 3, 'x', 'nowhere/0'"
    with empty.write() as session:
        session.execute(
            text(f"INSERT INTO artifacts (job_seq, name, media_type, bytes, sha256, blob) VALUES ({artifact})")
        )
    empty.migrate()
    kept = rows.row(empty, "job_1")
    assert (kept.shards, kept.parent_seq, kept.first, len(kept.artifacts)) == (0, None, 0, 1)
    split = rows.accept(empty, rows.split())
    running.begin(empty, rows.claim(empty, Queue.SAMPLE))
    migrations.downgrade(empty, "0002")
    with empty.read() as session:
        found = session.execute(text("SELECT id, status FROM jobs ORDER BY seq")).all()
        assert found == [("job_1", "succeeded"), (split, "queued")]
        assert session.scalars(text("SELECT name FROM artifacts")).all() == ["synthesized-000.png"]


def test_idempotency_keys_are_kept_when_they_get_an_owner(empty: Database) -> None:
    migrations.upgrade(empty, "0003")
    _insert_job(empty, status="queued")
    with empty.write() as session:
        key = text("INSERT INTO idempotency_keys (key, request_sha256, job_seq) VALUES ('mine', :sha256, 1)")
        session.execute(key, {"sha256": b"x" * 32})
    empty.migrate()
    assert rows.accept(empty, rows.sample(), Idempotency("mine", b"x" * 32)) == "job_1"
    migrations.downgrade(empty, "0003")
    empty.migrate()
    assert rows.accept(empty, rows.sample(), Idempotency("mine", b"x" * 32)) == "job_1"


def test_downgrade_keeps_the_idempotency_keys_of_jobs(empty: Database) -> None:
    empty.migrate()
    of_job, of_dataset = (Idempotency(name, b"x" * 32) for name in ("job", "dataset"))
    job_id = rows.accept(empty, rows.train(), of_job)
    dataset_id = rows.add_dataset(empty, idempotency=of_dataset).id
    keys = text("SELECT key, created_at FROM idempotency_keys ORDER BY key DESC")
    with empty.read() as session:
        before = session.execute(keys).all()
    migrations.downgrade(empty, "0012")
    empty.migrate()
    with empty.read() as session:
        assert session.execute(keys).all() == before[:1]
    assert rows.accept(empty, rows.train(), of_job) == job_id
    assert rows.add_dataset(empty, idempotency=of_dataset).id != dataset_id


def _insert_job(database: Database, status: str, model_id: str | None = None) -> None:
    """Insert a sample job by the column names of revisions 0001 to 0004."""
    values = {"status": status, "model_id": model_id, "cancel_requested": False}
    columns = "id, kind, queue, params, created_at, progress, metrics, attempt, strikes, token"
    job = "'job_1', 'sample', 'sample', '{\"count\": 2}', 1.5, '{}', '{}', 0, 0, 0"
    statement = f"INSERT INTO jobs ({columns}, {', '.join(values)}) VALUES ({job}, :{', :'.join(values)})"
    with database.write() as session:
        session.execute(text(statement).bindparams(**values))


def test_a_second_migration_changes_no_row(database: Database) -> None:
    job_id = rows.accept(database)
    before = rows.everything(database, job_id)
    database.migrate()
    assert rows.everything(database, job_id) == before


def test_processes_that_start_together_migrate_one_at_a_time(empty_database_url: str) -> None:
    program = [sys.executable, "-P", "-c", MIGRATE, empty_database_url, str(PROCESSES)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    database = Database(empty_database_url)
    with database.read() as session:
        assert session.scalars(text("SELECT version_num FROM alembic_version")).all() == [NEWEST]
    database.dispose()


@pytest.mark.parametrize("name", ["with spaces and ü", "per%20cent", "hash#mark", "what?", "plus+and&"])
def test_the_data_folder_may_have_any_name(sqlite_template: Path, tmp_path: Path, name: str) -> None:
    database = Database(Settings(data_dir=tmp_path / name).rows_url)
    shutil.copy(sqlite_template, tmp_path / name / "genconvnet.sqlite3")
    rows.accept(database)
    database.dispose()
    assert [path.name for path in tmp_path.iterdir()] == [name]
