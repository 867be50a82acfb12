"""The schema revision of a database, and the one that this release needs.

Every process asks at its start, so this does not import Alembic, which takes 0.3 s.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from core.runtime.startup import CannotStart
from core.version import VERSION

if TYPE_CHECKING:
    from core.storage.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"


class WrongSchema(CannotStart):
    """The schema revision of the database is not that of this release. The message says what to do."""


@cache
def known() -> tuple[str, ...]:
    """Return every revision that this release knows, oldest first. The files' names begin with them."""
    return tuple(sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py")))


def current(connection: Connection) -> str | None:
    """Return the revision of the database, or None if it has not been migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def refuse_newer(connection: Connection) -> str | None:
    """Return the revision of the database, None if it has no tables. Raises WrongSchema if it is a newer release's."""
    found, revisions = current(connection), known()
    if found is None or found in revisions:
        return found
    raise WrongSchema(
        f"the schema {found} of the database is newer than this release ({VERSION}, schema {revisions[-1]}): upgrade "
        "this process, or restore a backup that was made with this release into an empty database"
    )


def check(database: "Database") -> str:
    """Return the revision of the database. Raises WrongSchema if it is not the newest."""
    with database.engine.connect() as connection:
        found = refuse_newer(connection)
    newest = known()[-1]
    if found is None:
        raise WrongSchema("the database has no tables yet: they are created when the service starts")
    if found != newest:
        raise WrongSchema(
            f"the schema of the database is {found}, and this release ({VERSION}) needs {newest}: restart the API, "
            "which upgrades it, or use the release that wrote it"
        )
    return found
