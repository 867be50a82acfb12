"""Migrate a database to any schema revision."""

from collections.abc import Callable

from alembic import command
from alembic.config import Config

from core.storage.database import MIGRATIONS, Database


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
