"""Migrate a database to any schema revision."""

from collections.abc import Callable

import pytest
from alembic import command
from alembic.config import Config

from core.storage import revision
from core.storage.database import MIGRATIONS, Database

# The first and the last one passed every migration between them; the others are exhaustive.
_FIRST, *_BETWEEN, _LAST, _NEWEST = revision.known()
RELEASED = [_FIRST, *(pytest.param(one, marks=pytest.mark.exhaustive) for one in _BETWEEN), _LAST]


def upgrade(database: Database, revision: str) -> None:
    _run(command.upgrade, database, revision)


def downgrade(database: Database, revision: str) -> None:
    _run(command.downgrade, database, revision)


def _run(migrate: Callable[[Config, str], None], database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        migrate(config, revision)
