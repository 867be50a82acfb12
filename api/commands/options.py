"""Command-line options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder for the database and files. [GENCONVNET_DATA_DIR, default ./genconvnet-data]"),
]
