"""`genconvnet keys` creates, lists and revokes API keys."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from api.commands.database import format_time, open_database
from api.commands.options import DataDir
from core.storage import keys
from core.storage.errors import Conflict, NotFound
from core.storage.keys import NewKey
from core.storage.tables import ApiKey

app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)

KeyLimit = typer.Option(min=1, help="Overrides the setting of the same name for this key.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the key, such as its holder or purpose.")],
    admin: Annotated[bool, typer.Option("--admin", help="Give access to all datasets, jobs and models.")] = False,
    expires_days: Annotated[
        float | None, typer.Option(min=0, help="Days until the key expires; never by default.")
    ] = None,
    requests_per_minute: Annotated[int | None, KeyLimit] = None,
    max_stored_bytes: Annotated[int | None, KeyLimit] = None,
    max_unfinished_jobs: Annotated[int | None, KeyLimit] = None,
    data_dir: DataDir = None,
) -> None:
    """Create a key. It is printed once and cannot be shown again."""
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise typer.BadParameter("a name has 1 to 200 characters, all of them printable")
    new = NewKey(name, admin, expires_days, requests_per_minute, max_stored_bytes, max_unfinished_jobs)
    with open_database(data_dir) as database:
        created = keys.create(database, new)
        place = database.engine.url.render_as_string(hide_password=True)
    sys.stdout.write(f"{created.key}\n")
    typer.secho(
        f"{created.row.id}, in {place}. Save it now: it is not shown again. Send it as `Authorization: Bearer KEY`; "
        "from now on every request needs a key.",
        err=True,
    )


@app.command("list")
def listing(data_dir: DataDir = None) -> None:
    """List all keys, including expired and revoked ones."""
    with open_database(data_dir) as database:
        rows = keys.listing(database)
    table = Table("id", "name", "prefix", "permissions", "created", "expires", "revoked", box=None)
    for row in rows:
        times = (format_time(at) for at in (row.created_at, row.expires_at, row.revoked_at))
        table.add_row(row.id, row.name, row.prefix, _permissions(row), *times)
    Console(width=None if sys.stdout.isatty() else 240, markup=False).print(table)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID")], data_dir: DataDir = None) -> None:
    """Revoke a key. It is refused from the next request on."""
    with open_database(data_dir) as database:
        try:
            row = keys.revoke(database, key_id)
        except (NotFound, Conflict) as error:
            typer.secho(f"genconvnet keys revoke: {error}", err=True, fg="red")
            raise typer.Exit(1) from error
        any_left = keys.any_unrevoked(database)
    typer.secho(f"revoked {row.id} ({row.name})", err=True)
    if not any_left:
        typer.secho("No key is left: a service that listens only on this machine now needs none.", err=True)


def _permissions(row: ApiKey) -> str:
    limits = (
        (row.requests_per_minute, "requests/min"),
        (row.max_stored_bytes, "bytes"),
        (row.max_unfinished_jobs, "unfinished jobs"),
    )
    return ", ".join(["admin"] * row.admin + [f"{limit} {unit}" for limit, unit in limits if limit is not None])
