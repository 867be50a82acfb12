"""Which schema a database has, and which this release needs."""

from sqlalchemy import Connection

from core.storage.database import MIGRATIONS, Database


class WrongSchema(RuntimeError):
    """The database's schema is not this release's; the message says what to do."""


def known() -> list[str]:
    """Every revision that this release knows, oldest first."""
    from alembic.config import Config  # here, since it takes long, and the API starts without
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def current(connection: Connection) -> str | None:
    """The database's revision; None where it has no tables of ours."""
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def check(database: Database) -> str:
    """The database's revision, where it is the newest. Raises WrongSchema."""
    with database.engine.connect() as connection:
        found = current(connection)
    revisions = known()
    if found == revisions[-1]:
        return found
    if found is None:
        raise WrongSchema("the database has no tables yet: they are made when the service starts")
    if found in revisions:
        raise WrongSchema(
            f"the schema is {found}, this release needs {revisions[-1]}: start the API anew, which brings it up to date"
        )
    raise WrongSchema(f"the schema {found} is of a newer release, this one knows {revisions[-1]}: upgrade this process")
