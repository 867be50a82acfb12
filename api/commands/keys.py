"""genconvnet keys: who may use the service."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from api.commands.database import DataDir, format_time, open_database
from core.storage import keys
from core.storage.errors import Conflict, NotFound
from core.storage.keys import NewKey
from core.storage.tables import ApiKey

app = typer.Typer(help="Make, list and revoke the keys of those who may use the service.", no_args_is_help=True)

AtLeastOne = typer.Option(min=1, help="In place of the setting of that name.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, or what for.")],
    admin: Annotated[bool, typer.Option("--admin", help="Sees everyone's datasets, jobs and models.")] = False,
    expires_days: Annotated[
        float | None, typer.Option(min=0, help="Good for so many days; for ever if absent.")
    ] = None,
    requests_per_minute: Annotated[int | None, AtLeastOne] = None,
    max_stored_bytes: Annotated[int | None, AtLeastOne] = None,
    max_unfinished_jobs: Annotated[int | None, AtLeastOne] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key. It is printed once, and kept nowhere."""
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise typer.BadParameter("a name has 1 to 200 letters, none of them for control")
    new = NewKey(name, admin, expires_days, requests_per_minute, max_stored_bytes, max_unfinished_jobs)
    with open_database(data_dir) as database:
        made = keys.create(database, new)
        place = database.engine.url.render_as_string(hide_password=True)
    sys.stdout.write(f"{made.key}\n")
    typer.secho(
        f"{made.row.id}, in {place}. Keep it now, it is not shown again. Send it as `Authorization: Bearer KEY`; "
        "from now on every request needs a key.",
        err=True,
    )


@app.command("list")
def listing(data_dir: DataDir = None) -> None:
    """All keys that were ever made."""
    with open_database(data_dir) as database:
        rows = keys.listing(database)
    table = Table("id", "name", "begins", "may", "made", "expires", "revoked", box=None)
    for row in rows:
        cells = (row.id, row.name, row.prefix, _may(row), format_time(row.created_at), format_time(row.expires_at))
        table.add_row(*cells, format_time(row.revoked_at))
    Console(width=None if sys.stdout.isatty() else 240, markup=False).print(table)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID")], data_dir: DataDir = None) -> None:
    """From the next request on, the key is no good."""
    with open_database(data_dir) as database:
        try:
            row = keys.revoke(database, key_id)
        except (NotFound, Conflict) as error:
            typer.secho(f"genconvnet keys revoke: {error}", err=True, fg="red")
            raise typer.Exit(1) from error
        any_left = keys.any_unrevoked(database)
    typer.secho(f"revoked {row.id} ({row.name})", err=True)
    if not any_left:
        typer.secho("No key is left: a service that listens on this machine alone needs none from now on.", err=True)


def _may(row: ApiKey) -> str:
    limits = (
        (row.requests_per_minute, "requests/min"),
        (row.max_stored_bytes, "bytes"),
        (row.max_unfinished_jobs, "unfinished jobs"),
    )
    return ", ".join(["admin"] * row.admin + [f"{most} {what}" for most, what in limits if most is not None])
