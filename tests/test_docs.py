"""What the documents name exists: files, folders, tests."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "core").rglob("*.md"))
    if path.name != "CHANGELOG.md"
]
FOLDERS = ("api", "benchmarks", "core", "docs", "examples", "tests", "tools", "worker")


@cache
def every_test() -> set[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("test_*.py")]
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_and_test_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    paths = set(re.findall(rf"(?<![\w/.-])((?:{'|'.join(FOLDERS)})/[\w/-]+\.\w+)", text))
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []
    tests = {path.stem for path in (ROOT / "tests").rglob("test_*.py")} | every_test()
    # A name may be shortened at its end, as `test_a_key_…`.
    named = re.findall(r"\b(test_\w+)(…?)", text)
    missing = [
        name
        for name, shortened in named
        if name not in tests and not (shortened and any(test.startswith(name) for test in tests))
    ]
    assert missing == []
