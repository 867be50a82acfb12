"""`genconvnet doctor`: is this set-up well, and what is to be mended?"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from api.settings import ApiSettings

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of rows and blobs. [GENCONVNET_DATA_DIR, else ./genconvnet-data]")
]
SIGNS = {True: ("✓", "green"), False: ("✗", "red"), None: ("-", "yellow")}


def doctor(
    data_dir: DataDir = None,
    deep: Annotated[bool, typer.Option("--deep", help="Look for the file of every row.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON a check.")] = False,
) -> None:
    """Check this set-up and say what to mend. Exit code 1 where something is."""
    from rich.console import Console

    from api.doctor import examine

    settings = ApiSettings() if data_dir is None else ApiSettings(data_dir=data_dir)
    console = Console(highlight=False, soft_wrap=True)
    well = True
    for finding in examine(settings, deep):
        well &= finding.ok is not False
        if as_json:
            sys.stdout.write(json.dumps(asdict(finding)) + "\n")
            continue
        sign, color = SIGNS[finding.ok]
        console.print(
            f"{sign} {finding.check:<12} {finding.told}", style=color if finding.ok is False else None, markup=False
        )
        if finding.advice:
            console.print(f"  {'':<12} {finding.advice}", markup=False)
    raise typer.Exit(0 if well else 1)
