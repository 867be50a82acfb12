"""`genconvnet audit` prints the newest entries, oldest first."""

import json
from collections.abc import Callable

from typer.testing import Result


def test_the_newest_entries_are_printed_oldest_first(command: Callable[..., Result]) -> None:
    for name in ("ada", "bob", "carl"):
        command("keys", "create", name)
    lines = command("audit", "--limit", "2").stdout.splitlines()
    assert [(line.split("  ")[1:3], name in line) for line, name in zip(lines, ("bob", "carl"), strict=True)] == [
        (["-", "key.create"], True)
    ] * 2
    entries = [json.loads(line) for line in command("audit", "--json").stdout.splitlines()]
    assert [one["detail"]["name"] for one in entries] == ["ada", "bob", "carl"]
    assert [one["at"] for one in entries] == sorted(one["at"] for one in entries)
    assert all(one["at"].endswith("Z") for one in entries)
