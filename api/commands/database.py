"""The database that a command works on: the one in the data folder, or that of GENCONVNET_DATABASE_URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from core.runtime.logs import configure_logs
from core.runtime.settings import Settings
from core.storage import startup
from core.storage.database import Database


@contextmanager
def open_database(data_dir: Path | None) -> Iterator[Database]:
    """Yield the database; an empty one gets its tables. The service may be running meanwhile. Raises CannotStart."""
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    configure_logs(settings)
    with startup.open_database(settings, upgrade=False) as database:
        yield database


def format_time(seconds: float | None) -> str:
    """Format seconds since 1970 as a UTC date and time; an empty string for None."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
