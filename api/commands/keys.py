"""`genconvnet keys` creates, lists and revokes API keys."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.listing import AsJson, json_time, print_json, print_table
from api.commands.options import DataDir
from core.runtime.startup import REFUSED

if TYPE_CHECKING:
    from core.storage.tables import ApiKey

app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)

KeyLimit = typer.Option(min=1, help="Overrides the setting of the same name for this key.")


@app.command(epilog="Example: genconvnet keys create ada --expires-days 90")
def create(
    name: Annotated[str, typer.Argument(help="Name of the key, such as its holder or purpose.")],
    admin: Annotated[bool, typer.Option("--admin", help="Give access to all datasets, jobs and models.")] = False,
    expires_days: Annotated[
        float | None, typer.Option(min=0, help="Days until the key expires; never by default.")
    ] = None,
    requests_per_minute: Annotated[int | None, KeyLimit] = None,
    max_stored_bytes: Annotated[int | None, KeyLimit] = None,
    max_unfinished_jobs: Annotated[int | None, KeyLimit] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the key and what belongs to it as JSON.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Create a key. It is printed once and cannot be shown again."""
    from api.commands.database import open_database
    from core.storage import keys
    from core.storage.keys import NewKey

    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise typer.BadParameter("a name has 1 to 200 characters, all of them printable")
    new = NewKey(name, admin, expires_days, requests_per_minute, max_stored_bytes, max_unfinished_jobs)
    with open_database(data_dir) as database:
        created = keys.create(database, new)
        place = database.engine.url.render_as_string(hide_password=True)
    if as_json:
        print_json({"key": created.key, **_as_json(created.row)})
        return
    sys.stdout.write(f"{created.key}\n")
    typer.secho(
        f"{created.row.id}, in {place}. Save it now: it is not shown again. Send it as `Authorization: Bearer KEY`; "
        "from now on every request needs a key.",
        err=True,
    )


@app.command("list", epilog="Example: genconvnet keys list")
def listing(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List all keys, including expired and revoked ones, newest first."""
    from api.commands.database import format_time, open_database
    from core.storage import keys

    with open_database(data_dir) as database:
        rows = keys.listing(database)
    if as_json:
        for row in rows:
            print_json(_as_json(row))
        return
    header = ("id", "name", "prefix", "permissions", "created", "expires", "revoked")
    times = [tuple(map(format_time, (row.created_at, row.expires_at, row.revoked_at))) for row in rows]
    about = [(row.id, row.name, row.prefix, _permissions(row)) for row in rows]
    print_table(header, [(*one, *at) for one, at in zip(about, times, strict=True)])


@app.command(epilog="Example: genconvnet keys revoke ada")
def revoke(
    which: Annotated[
        str,
        typer.Argument(metavar="KEY", help="Its id, its name, its prefix as `keys list` shows it, or the key itself."),
    ],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Revoke a key. It is refused from the next request on."""
    from api.commands.database import open_database
    from core.storage import keys
    from core.storage.errors import Conflict, NotFound

    with open_database(data_dir) as database:
        try:
            row = keys.revoke(database, keys.identify(database, which).id)
        except (NotFound, Conflict) as error:
            typer.secho(f"genconvnet keys revoke: {error}", err=True, fg="red")
            raise typer.Exit(REFUSED) from error
        any_left = keys.any_unrevoked(database)
    if as_json:
        print_json(_as_json(row))
    else:
        typer.secho(f"revoked {row.id} ({row.name})", err=True)
    if not any_left:
        typer.secho("No key is left: a service that listens only on this machine now needs none.", err=True)


def _as_json(row: "ApiKey") -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "admin": row.admin,
        "requests_per_minute": row.requests_per_minute,
        "max_stored_bytes": row.max_stored_bytes,
        "max_unfinished_jobs": row.max_unfinished_jobs,
        "created_at": json_time(row.created_at),
        "expires_at": json_time(row.expires_at),
        "revoked_at": json_time(row.revoked_at),
    }


def _permissions(row: "ApiKey") -> str:
    limits = (
        (row.requests_per_minute, "requests/min"),
        (row.max_stored_bytes, "bytes"),
        (row.max_unfinished_jobs, "unfinished jobs"),
    )
    return ", ".join(["admin"] * row.admin + [f"{limit} {unit}" for limit, unit in limits if limit is not None])
