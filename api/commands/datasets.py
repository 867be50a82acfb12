"""`genconvnet datasets` lists, shows and deletes uploaded pictures."""

from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.session import Session, service_command, table_time

if TYPE_CHECKING:
    from api.client import Dataset

app = typer.Typer(name="datasets", help="List, show and delete uploaded pictures.", no_args_is_help=True)

DatasetId = Annotated[str, typer.Argument(metavar="DATASET", help="Its id.")]


@service_command(app, "list", example="genconvnet datasets list --json")
def listing(session: Session) -> None:
    """List all datasets, newest first."""
    session.list(session.client.datasets.list(), ("id", "name", "pictures", "bytes", "created"), _row)


def _row(dataset: "Dataset") -> tuple[str, ...]:
    size = sum(image.bytes for image in dataset.images)
    return (dataset.id, dataset.name or "", str(len(dataset.images)), str(size), table_time(dataset.created_at))


@service_command(app, "show", example="genconvnet datasets show dataset_…")
def show(session: Session, dataset: DatasetId) -> None:
    """Show a dataset and its pictures."""
    session.show(session.client.datasets.show(dataset))


@service_command(app, "delete", example="genconvnet datasets delete dataset_…")
def delete(session: Session, dataset: DatasetId) -> None:
    """Delete a dataset and its pictures."""
    found = session.client.datasets.show(dataset)
    session.client.datasets.delete(found)
    session.done(f"dataset {found.name or found.id} was deleted", found)
