"""Command-line options that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder for the database and files. [GENCONVNET_DATA_DIR, default ./genconvnet-data]"),
]


def require_writable(folder: Path, option: str) -> None:
    """Raise typer.BadParameter if files cannot be written to the folder, or if it cannot be made."""
    existing = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    if not existing.is_dir():
        raise typer.BadParameter(f"{folder} cannot be a folder: {existing} is a file", param_hint=option)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"nothing can be written to {folder}: {existing} is not writable", param_hint=option)
