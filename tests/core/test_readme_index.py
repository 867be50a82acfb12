"""The index in core/README.md is true: every item of the paper has its row, and what the row names exists."""

import ast
import pkgutil
import re
from pathlib import Path

import pytest

import core

README = (Path(core.__file__).parent / "README.md").read_text(encoding="utf-8")
INDEX = README.split("## Index of the paper")[1].split("\n## ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in INDEX.splitlines()
    if line.startswith("| ") and not line.startswith("| paper")
]
NUMBERED = (
    [f"eq. {number}" for number in range(1, 25)]
    + [f"Def. {number}" for number in range(1, 5)]
    + ["Thm 1", "Prop. 1", "Prop. 2", "Prop. 3", "Alg. 1"]
)


def name(row):
    return row[0].split(":")[0]


def names_of_tests(file):
    tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_numbered_item_of_the_paper_has_one_row_in_order():
    assert [name(row) for row in ROWS if not name(row).startswith("Sec.")] == NUMBERED


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_every_function_that_the_index_names_exists(row):
    functions = re.findall(r"`(core\.[\w.]+)`", row[1])
    assert functions
    for function in functions:
        pkgutil.resolve_name(function)


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_every_test_that_the_index_names_exists(row):
    tests = re.findall(r"`([\w/]+\.py)::(test_\w+)`", row[2])
    assert tests
    assert len(tests) == row[2].count("`") // 2
    for file, test in tests:
        assert test in names_of_tests(file)
