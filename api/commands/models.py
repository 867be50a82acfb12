"""`genconvnet models` lists, shows, renames, saves, imports and deletes models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.session import Session, service_command, table_time

if TYPE_CHECKING:
    from api.client import Model

app = typer.Typer(name="models", help="List, show, rename, export, import and delete models.", no_args_is_help=True)

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Its id or its name.")]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="The new name.")]


def find_model(session: Session, which: str) -> "Model":
    """Return the model with this id or name. Raises NotFound, or typer.BadParameter if several have the name."""
    from api.client import NotFound

    try:
        return session.client.models.show(which)
    except NotFound:
        named = [model for model in session.client.models.list() if model.name == which]
        if not named:
            raise
    if len(named) > 1:
        ids = ", ".join(model.id for model in named)
        raise typer.BadParameter(f"{which!r} is the name of {ids}: give the id", param_hint="MODEL")
    return named[0]


@service_command(app, "list", example="genconvnet models list")
def listing(session: Session) -> None:
    """List all models, newest first."""
    session.list(session.client.models.list(), ("id", "name", "size", "created", "bytes"), _row)


def _row(model: "Model") -> tuple[str, ...]:
    size = f"{model.params['image_size']} px"
    return (model.id, model.name or "", size, table_time(model.created_at), str(model.bytes))


@service_command(app, "show", example="genconvnet models show model_…")
def show(session: Session, model: ModelName) -> None:
    """Show a model, with the parameters that it was learned with."""
    session.show(find_model(session, model))


@service_command(app, "rename", example='genconvnet models rename model_… "wet bricks"')
def rename(session: Session, model: ModelName, name: NewName) -> None:
    """Give a model another name."""
    renamed = session.client.models.rename(find_model(session, model), name)
    session.done(f"{renamed.id} is now {renamed.name}", renamed)


@service_command(app, "export", example="genconvnet models export bricks bricks.safetensors")
def export(
    session: Session,
    model: ModelName,
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The file to write; it must not exist.")],
) -> None:
    """Save a model as one .safetensors file."""
    found = find_model(session, model)
    path = session.client.models.export(found, file)
    session.done(f"{found.id} is saved as {path}", found, file=str(path))


@service_command(app, "import", example="genconvnet models import bricks.safetensors --name bricks")
def import_(
    session: Session,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file that `models export` wrote.")],
    name: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
) -> None:
    """Import a model's file, and print its id."""
    session.created(session.client.models.import_(file, name=name))


@service_command(app, "delete", example="genconvnet models delete model_…")
def delete(session: Session, model: ModelName) -> None:
    """Delete a model."""
    found = find_model(session, model)
    session.client.models.delete(found)
    session.done(f"model {found.name or found.id} was deleted", found)
