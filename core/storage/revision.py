"""The schema revision of a database, and the one that this release needs."""

from sqlalchemy import Connection

from core.storage.database import MIGRATIONS, Database


class WrongSchema(RuntimeError):
    """The schema revision of the database is not that of this release. The message says what to do."""


def known() -> list[str]:
    """Return every revision that this release knows, oldest first."""
    from alembic.config import Config  # here, because the import is slow
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def current(connection: Connection) -> str | None:
    """Return the revision of the database, or None if it has not been migrated."""
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def check(database: Database) -> str:
    """Return the revision of the database. Raises WrongSchema if it is not the newest."""
    with database.engine.connect() as connection:
        found = current(connection)
    revisions = known()
    if found == revisions[-1]:
        return found
    if found is None:
        raise WrongSchema("the database has no tables yet: they are created when the service starts")
    if found in revisions:
        raise WrongSchema(
            f"the schema is {found}, this release needs {revisions[-1]}: restart the API, which upgrades it"
        )
    raise WrongSchema(f"the schema {found} is newer than this release ({revisions[-1]}): upgrade this process")
