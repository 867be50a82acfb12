"""`genconvnet datasets` lists, shows and deletes uploaded pictures."""

from typing import Annotated

import typer

from api.commands.listing import print_table
from api.commands.session import Session, service_command, table_time

app = typer.Typer(name="datasets", help="List, show and delete uploaded pictures.", no_args_is_help=True)

DatasetId = Annotated[str, typer.Argument(metavar="DATASET", help="Its id.")]


@service_command(app, "list", example="genconvnet datasets list --json")
def listing(session: Session) -> None:
    """List all datasets, newest first."""
    datasets = list(session.client.datasets.list())
    if session.as_json:
        for dataset in datasets:
            session.print_data(dataset)
        return
    header = ("id", "name", "pictures", "bytes", "created")
    sizes = [str(sum(image.bytes for image in dataset.images)) for dataset in datasets]
    rows = [
        (one.id, one.name or "", str(len(one.images)), size, table_time(one.created_at))
        for one, size in zip(datasets, sizes, strict=True)
    ]
    print_table(header, rows)


@service_command(app, "show", example="genconvnet datasets show dataset_…")
def show(session: Session, dataset: DatasetId) -> None:
    """Show a dataset and its pictures."""
    session.show(session.client.datasets.show(dataset))


@service_command(app, "delete", example="genconvnet datasets delete dataset_…")
def delete(session: Session, dataset: DatasetId) -> None:
    """Delete a dataset and its pictures."""
    found = session.client.datasets.show(dataset)
    session.client.datasets.delete(found)
    session.done(f"{found.id} was deleted", found)
