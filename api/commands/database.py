"""The database that a command works on: the one in the data folder, or that of GENCONVNET_DATABASE_URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from core.runtime.logs import configure_logs
from core.runtime.settings import Settings
from core.storage.database import Database


@contextmanager
def open_database(data_dir: Path | None) -> Iterator[Database]:
    """Yield the database, migrated to the newest schema. The service may be running meanwhile."""
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    configure_logs(settings)
    database = Database(settings.rows_url)
    try:
        database.migrate_when_available()
        yield database
    finally:
        database.dispose()


def format_time(seconds: float | None) -> str:
    """Format seconds since 1970 as a UTC date and time; an empty string for None."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
