"""How the commands print what they list."""

import json

import pytest

from api.commands.listing import json_time, print_json, print_table


def test_columns_are_aligned_by_the_cells_that_they_take_and_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", "名前", "1"), ("b", "x" * 50, ""), ("c", "", "3"), ("d", "y" * 200, "4")]
    print_table(("id", "name", "size"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "id  name" + " " * 48 + "size"
    assert lines[1] == "a   名前" + " " * 48 + "1", "each of the letters takes two cells"
    assert lines[2] == "b   " + "x" * 50, "without spaces at its end"
    assert lines[3].index("3") == lines[0].index("size")
    assert lines[4] == "d   " + "y" * 200 + "  4", "a very long name widens its own line alone"


def test_a_table_of_nothing_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "name"), [])
    assert capsys.readouterr().out == "id  name\n"


def test_json_is_one_line_of_each_entry_with_times_as_clients_read_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "two\nlines", "at": json_time(0.25), "never": json_time(None)})
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert json.loads(line) == {"name": "two\nlines", "at": "1970-01-01T00:00:00.250Z", "never": None}
