"""The schema revision of a database, and the one that this release needs."""

from alembic.script import ScriptDirectory

from core.storage import revision


def test_the_revisions_are_those_of_alembic() -> None:
    script = ScriptDirectory(str(revision.MIGRATIONS))
    assert [one.revision for one in script.walk_revisions()][::-1] == list(revision.known())
