"""`genconvnet models` lists, shows, renames, saves, imports and deletes models."""

from collections import Counter
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.session import Session, service_command, table_time

if TYPE_CHECKING:
    from api.client import Model

app = typer.Typer(name="models", help="List, show, rename, export, import and delete models.", no_args_is_help=True)

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Its id or its name.")]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="The new name.")]


def find_model(session: Session, which: str, *, exact: bool = False) -> "Model":
    """Return the model with this id or name, or else the only one whose name differs by upper and lower case alone.

    exact: upper and lower case must agree too. Raises NotFound, or typer.BadParameter if several have the name.
    """
    from api.client import NotFound

    try:
        return session.client.models.show(which)
    except NotFound as error:
        models = [model for model in session.client.models.list() if model.name]
        named = [model for model in models if model.name == which] or [
            model for model in models if not exact and _caseless(model) == which.casefold()
        ]
        if not named:
            close = get_close_matches(which.casefold(), map(_caseless, models))
            meant = {repr(model.name): None for one in close for model in models if _caseless(model) == one}
            hint = f"did you mean {' or '.join(meant)}?" if meant else "`genconvnet models list` lists them"
            raise NotFound(error.status, f"{error.detail}: {hint}", error.errors) from error
    if len(named) > 1:
        candidates = "; ".join(f"{model.id}, {_origin(model)}" for model in named)
        raise typer.BadParameter(
            f"{which!r} is the name of {len(named)} models: give an id ({candidates})", param_hint="MODEL"
        )
    return named[0]


def _caseless(model: "Model") -> str:
    return (model.name or "").casefold()


def _origin(model: "Model") -> str:
    """Return what tells a model from another of the same name: when it came, and from what."""
    made = "imported" if model.job_id is None else f"learned from {model.dataset_name or 'deleted pictures'}"
    return f"{made} at {table_time(model.created_at)}"


def warn_of_same_name(session: Session, name: str | None, besides: str | None = None) -> None:
    """Say if another model has the name. besides: the id of the one that is to have it."""
    if name and (others := [one.id for one in session.client.models.list() if one.name == name and one.id != besides]):
        session.say(f"warning: {name} is also the name of {', '.join(others)}: commands then need an id")


@service_command(app, "list", example="genconvnet models list")
def listing(session: Session) -> None:
    """List all models, newest first."""
    found = list(session.client.models.list())
    session.list(found, ("id", "name", "size", "created", "bytes", "pictures"), _row)
    for name, count in Counter(model.name for model in found).items():
        if name and count > 1:
            session.say(f"{name} is the name of {count} models: commands then need an id")


def _row(model: "Model") -> tuple[str, ...]:
    size, created = f"{model.params['image_size']} px", table_time(model.created_at)
    return (model.id, model.name or "", size, created, str(model.bytes), model.dataset_name or "")


@service_command(app, "show", example="genconvnet models show model_…")
def show(session: Session, model: ModelName) -> None:
    """Show a model, with the parameters that it was learned with."""
    session.show(find_model(session, model))


@service_command(app, "rename", example='genconvnet models rename model_… "wet bricks"')
def rename(session: Session, model: ModelName, name: NewName) -> None:
    """Give a model another name."""
    found = find_model(session, model)
    warn_of_same_name(session, name, besides=found.id)
    renamed = session.client.models.rename(found, name)
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
    warn_of_same_name(session, name)
    session.created(session.client.models.import_(file, name=name))


@service_command(app, "delete", example="genconvnet models delete model_…")
def delete(session: Session, model: ModelName) -> None:
    """Delete a model."""
    found = find_model(session, model, exact=True)
    session.client.models.delete(found)
    session.done(f"model {found.name or found.id} was deleted", found)
