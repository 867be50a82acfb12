"""What the documents name exists: files, folders, tests."""

import re
import runpy
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "core").rglob("*.md"))
    if path.name != "CHANGELOG.md"
]
FOLDERS = ("api", "benchmarks", "core", "docs", "examples", "tests", "tools", "worker")


@cache
def every_test() -> set[str]:
    """Return the names of all tests and of their modules."""
    files = list((ROOT / "tests").rglob("test_*.py"))
    defined = (re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE) for path in files)
    return {path.stem for path in files}.union(*defined)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_and_test_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    paths = set(re.findall(rf"(?<![\w/.-])((?:{'|'.join(FOLDERS)})/[\w/-]+\.\w+)", text))
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []
    tests = every_test()
    # A name may be shortened at its end, as `test_a_key_…`.
    named = re.findall(r"\b(test_\w+)(…?)", text)
    missing = [
        name
        for name, shortened in named
        if name not in tests and not (shortened and any(test.startswith(name) for test in tests))
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_a_document_leads_to_a_file_and_a_heading(document: Path) -> None:
    broken = []
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]+))?\)", document.read_text(encoding="utf-8")):
        path = document.parent / target if target else document
        if not path.exists() or (anchor and anchor not in headings(path)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


@cache
def headings(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub and MkDocs make them."""
    lines = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", line).strip().lower()) for line in lines}


@pytest.mark.parametrize("folder", ["decisions", "experiments"])
def test_an_index_names_every_page_of_its_folder(folder: str) -> None:
    pages = {path.name for path in (ROOT / "docs" / folder).glob("*.md")} - {"README.md"}
    index = (ROOT / "docs" / folder / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([^)]+)\)", index)) == pages


def test_the_reference_of_parameters_is_up_to_date() -> None:
    written = ROOT / "docs/reference/parameters.md"
    module = runpy.run_path(str(ROOT / "tools/parameter_reference.py"))
    assert written.read_text(encoding="utf-8") == module["page"](), "run `make reference`"


def test_every_page_of_the_site_exists() -> None:
    """`make docs` checks the rest; its packages are not among those of the tests."""
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    pages = [page for section in navigation for pages in section.values() for page in pages]
    assert [page for page in pages if not ((ROOT / "docs" / page).exists() or (ROOT / page).exists())] == []
