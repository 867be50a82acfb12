"""The schema revision of a database, and the one that this release needs."""

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from core.storage import revision
from core.storage.database import Database
from core.storage.revision import WrongSchema


def test_the_revisions_are_those_of_alembic() -> None:
    script = ScriptDirectory(str(revision.MIGRATIONS))
    assert [one.revision for one in script.walk_revisions()][::-1] == list(revision.known())


def _at(database: Database, revision_: str) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision_})


def test_a_database_has_the_revision_that_it_was_migrated_to(sqlite_database: Database, tmp_path: Path) -> None:
    newest = revision.known()[-1]
    assert revision.check(sqlite_database) == newest
    with sqlite_database.engine.connect() as connection:
        assert revision.current(connection) == revision.refuse_newer(connection) == newest
    empty = Database(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    with empty.engine.connect() as connection:
        assert (revision.current(connection), revision.refuse_newer(connection)) == (None, None)
    with pytest.raises(WrongSchema, match="has no tables yet"):
        revision.check(empty)
    empty.dispose()


def test_the_schema_of_a_newer_release_is_refused(sqlite_database: Database) -> None:
    _at(sqlite_database, "9999")
    with pytest.raises(WrongSchema, match=f"the schema 9999 of the database is newer .*schema {revision.known()[-1]}"):
        revision.check(sqlite_database)


def test_the_schema_of_an_older_release_can_be_migrated_and_not_yet_used(sqlite_database: Database) -> None:
    first = revision.known()[0]
    _at(sqlite_database, first)
    with sqlite_database.engine.connect() as connection:
        assert revision.refuse_newer(connection) == first
    with pytest.raises(WrongSchema, match=f"is {first}, and this release .* needs {revision.known()[-1]}"):
        revision.check(sqlite_database)
