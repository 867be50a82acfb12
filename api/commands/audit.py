"""genconvnet audit: who did what."""

import json
import sys
from typing import Annotated

import typer

from api.commands.database import DataDir, format_time, open_database
from core.storage import audit


def show(
    limit: Annotated[int, typer.Option(min=1, help="The newest so many entries.")] = 50, data_dir: DataDir = None
) -> None:
    """Who did what, oldest first: time, key, action, what it was done to, the request's id."""
    with open_database(data_dir) as database:
        for entry in audit.latest(database, limit):
            words = (
                format_time(entry.at),
                entry.key_id or "-",
                entry.action,
                entry.subject or "-",
                entry.request_id or "-",
            )
            detail = f"  {json.dumps(entry.detail)}" if entry.detail else ""
            sys.stdout.write("  ".join(words) + f"{detail}\n")
