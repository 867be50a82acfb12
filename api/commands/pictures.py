"""`genconvnet show` and `replay`: what a picture says about its making, and the picture made again from that."""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from api.commands.exit_codes import ExitCode
from api.commands.listing import AsJson, print_json
from api.commands.results import DEFAULT_OUT, Detach, Out, follow_to_end, write_results
from api.commands.session import Session, lines_of, service_command
from core.schemas.jobs import Queue

PictureFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, metavar="PICTURE", help="A PNG that this software made.")
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands to `app`, in the panel of its help with this title."""
    app.command("show", epilog="Example: genconvnet show synthesized-000.png", rich_help_panel=panel)(show)
    example = "genconvnet replay synthesized-000.png --out again"
    service_command(app, "replay", example=example, queues=tuple(Queue), panel=panel)(replay)


def show(picture: PictureFile, as_json: AsJson = False) -> None:
    """Show what a picture's file says about its making. No service is needed."""
    from core.pictures.origin import BadOrigin, NoOrigin, read_origin

    try:
        with picture.open("rb") as file:
            origin = read_origin(file if file.seekable() else io.BytesIO(file.read()))
    except (NoOrigin, BadOrigin) as error:
        typer.secho(f"genconvnet show: {picture}: {error}", err=True, fg="red")
        raise typer.Exit(ExitCode.WRONG_USE) from error
    about = origin.model_dump(mode="json")
    if as_json:
        print_json(about)
        return
    for name, value in about.items():
        sys.stdout.writelines(f"{line}\n" for line in lines_of(name, value))


def replay(session: Session, picture: PictureFile, out: Out = DEFAULT_OUT, detach: Detach = False) -> None:
    """Make a picture again, from what its file says: by the same model, or from the same dataset. Ctrl-C cancels it."""
    from api.client import Invalid

    try:
        job = session.client.replay(picture)
    except Invalid as error:
        if error.field != "image":
            raise
        raise Invalid(error.status, f"{picture}: {error.errors[0].message}", error.errors) from error
    write_results(session, follow_to_end(session, job, detach), out)
