"""`genconvnet audit` prints the audit log."""

import json
import sys
from typing import Annotated

import typer

from api.commands.listing import AsJson, json_time, print_json
from api.commands.options import DataDir


def show(
    limit: Annotated[int, typer.Option(min=1, help="Number of entries, counted from the newest.")] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Print the newest entries, oldest first: time, key, action, object and request id."""
    from api.commands.database import format_time, open_database
    from core.storage import audit

    with open_database(data_dir) as database:
        for entry in audit.latest(database, limit):
            if as_json:
                names = ("key_id", "action", "subject", "request_id", "detail")
                print_json({"at": json_time(entry.at), **{name: getattr(entry, name) for name in names}})
                continue
            columns = (
                format_time(entry.at),
                entry.key_id or "-",
                entry.action,
                entry.subject or "-",
                entry.request_id or "-",
            )
            detail = f"  {json.dumps(entry.detail)}" if entry.detail else ""
            sys.stdout.write("  ".join(columns) + f"{detail}\n")
