"""The database that a command works on: that of the data folder, or of GENCONVNET_DATABASE_URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from core.runtime.logs import configure_logs
from core.runtime.settings import Settings
from core.storage.database import Database

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of rows and blobs. [GENCONVNET_DATA_DIR, else ./genconvnet-data]")
]


@contextmanager
def open_database(data_dir: Path | None) -> Iterator[Database]:
    """With the newest schema, whether the service runs or not."""
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    configure_logs(settings)
    database = Database(settings.rows_url)
    try:
        database.migrate_when_available()
        yield database
    finally:
        database.dispose()


def format_time(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
