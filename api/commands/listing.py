"""How the commands print what they list: aligned columns that are never cut, or one line of JSON for each entry."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.cells import cell_len

from core.schemas.times import rfc3339, utc_datetime

AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON for each entry.")]
GAP = "  "
WIDEST = 60  # characters of a column; longer names push only what is behind them in their own line


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the rows below their header. A line may be longer than the terminal is wide; nothing is left out."""
    lines = [header, *rows]
    lengths = [map(cell_len, column) for column in zip(*lines, strict=True)]
    widths = [max(one for one in column if one <= WIDEST) for column in lengths]  # a header is never longer
    for line in lines:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write(GAP.join(cells).rstrip() + "\n")


def print_json(entry: Mapping[str, Any]) -> None:
    """Print one entry as a line of JSON."""
    sys.stdout.write(json.dumps(entry) + "\n")


def json_time(seconds: float | None) -> str | None:
    """Return the database's time as clients read it."""
    return None if seconds is None else rfc3339(utc_datetime(seconds))
