"""`genconvnet doctor` checks an installation and says what to fix."""

import json
import sys
from typing import Annotated

import typer

from api.commands.options import DataDir

SIGNS = {True: ("✓", "green"), False: ("✗", "red"), None: ("-", "yellow")}


def doctor(
    data_dir: DataDir = None,
    deep: Annotated[bool, typer.Option("--deep", help="Check the file of every row.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per check.")] = False,
) -> None:
    """Check this installation and say what to fix. Exits with code 1 if a check fails."""
    from rich.console import Console

    from api.operations.doctor import run_checks
    from api.settings import ApiSettings

    settings = ApiSettings() if data_dir is None else ApiSettings(data_dir=data_dir)
    console = Console(highlight=False, soft_wrap=True)
    all_ok = True
    for result in run_checks(settings, deep):
        all_ok &= result.ok is not False
        if as_json:
            sys.stdout.write(json.dumps(result.as_json()) + "\n")
            continue
        sign, color = SIGNS[result.ok]
        console.print(
            f"{sign} {result.check:<12} {result.message}", style=color if result.ok is False else None, markup=False
        )
        if result.advice:
            console.print(f"  {'':<12} {result.advice}", markup=False)
    raise typer.Exit(0 if all_ok else 1)
