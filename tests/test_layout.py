"""The tests mirror the source: each module in which something is decided has a file of tests of its own name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Match)
ELSEWHERE = {
    "api/embedded/__main__.py": "runs as a process alone: tests/api/embedded/test_attached.py starts it",
    "core/engine/__init__.py": "its choose_engine is tested with what it chooses by, in test_precision.py",
}


def has_branches(source: str) -> bool:
    """Return True if a function in the source has a branch, a loop or a condition."""
    functions = (one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    inside = (node for function in functions for node in ast.walk(function))
    return any(isinstance(node, BRANCHES) or (isinstance(node, ast.comprehension) and node.ifs) for node in inside)


def modules() -> Iterator[Path]:
    """Yield the modules of the three packages without migrations, all of which test_migrations.py runs."""
    for package in ("api", "core", "worker"):
        found = (path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py"))
        yield from (path for path in found if "migrations" not in path.parts)


def has_tests(module: Path) -> bool:
    """Return True if a file of tests has the module's name, or adds its topic to that."""
    names = {path.stem for path in (ROOT / "tests" / module.parent).glob(f"test_{module.stem}*.py")}
    return any(f"{name}_".startswith(f"test_{module.stem}_") for name in names)


def test_each_module_with_branches_has_tests_of_its_own_name() -> None:
    missing = {one.as_posix() for one in modules() if has_branches((ROOT / one).read_text()) and not has_tests(one)}
    assert missing == ELSEWHERE.keys(), "write tests/FOLDER/test_MODULE.py, or remove what is no longer an exception"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1 if y else 2", False),
        ("class A:\n    x: int = 1", False),
        ("def f(x):\n    return [one for one in x]", False),
        ("def f(x):\n    return [one for one in x if one]", True),
        ("def f(x):\n    return 1 if x else 2", True),
        ("class A:\n    async def f(self):\n        try:\n            pass\n        finally:\n            pass", True),
    ],
)
def test_a_branch_counts_in_a_function(source: str, expected: bool) -> None:
    assert has_branches(source) == expected


def test_every_exception_is_a_module_and_the_names_of_others_do_not_count() -> None:
    assert all((ROOT / path).is_file() for path in ELSEWHERE)
    assert has_tests(Path("core/recipe/learner.py"))
    assert not has_tests(Path("core/recipe/learn.py")), "test_learner.py is no file of learn.py"
