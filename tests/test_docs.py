"""What the documents name exists: files, folders, tests. What they show is made by a command, and as it is today."""

import json
import re
import runpy
from functools import cache
from pathlib import Path

import pytest
import yaml

from core.recipe.presets import PRESETS

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


@pytest.fixture(scope="module")
def pictures_made() -> set[Path]:
    """The files that `make pictures` makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        kinds = runpy.run_path(str(ROOT / "tools/pictures.py"))["KINDS"].values()
    return {kind.folder / name for kind in kinds for name in kind.names}


def test_make_pictures_makes_every_picture_that_a_document_or_a_card_shows(pictures_made: set[Path]) -> None:
    apart = (ROOT / "docs/pictures/README.md").read_text(encoding="utf-8")
    shown = {
        path.parent.joinpath(name).resolve()
        for path in DOCUMENTS
        for name in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    }
    assert shown - pictures_made == {path for path in shown if path.parent.name == "pictures" and path.name in apart}
    kept = {*ROOT.glob("docs/images/*.*g"), *ROOT.glob("api/web/studio/cards/*.*"), ROOT / "examples/walkthrough.ipynb"}
    assert kept == pictures_made
    assert {path.name for path in ROOT.glob("docs/pictures/*.png")} == set(
        re.findall(r"^\| (\S+\.png)", apart, re.MULTILINE)
    )


def test_the_screenshot_of_making_shows_todays_cards_and_presets() -> None:
    """If it does not, run `make pictures PICTURES="--only screenshots"`."""
    shown = json.loads((ROOT / "docs/images/make.json").read_text(encoding="utf-8"))
    data = ROOT / "api/web/studio/data"
    titles = re.findall(r'title: "([^"]+)"', (data / "kinds.js").read_text(encoding="utf-8"))
    assert sorted(shown["cards"]) == sorted(titles)
    (order,) = re.findall(r"ORDER = \[([^\]]+)\]", (data / "presets.js").read_text(encoding="utf-8"))
    named = re.findall(r'"([^"]+)"', order)
    textures = {name for name, params in PRESETS.items() if params.top != "object" and not params.contrastive}
    assert [name for name in named if name in textures] == shown["presets"]
    assert set(shown["presets"]) == textures


def test_the_reference_of_parameters_is_up_to_date() -> None:
    written = ROOT / "docs/reference/parameters.md"
    module = runpy.run_path(str(ROOT / "tools/parameter_reference.py"))
    assert written.read_text(encoding="utf-8") == module["page"](), "run `make reference`"


def test_every_page_of_the_site_exists() -> None:
    """`make docs` checks the rest; its packages are not among those of the tests."""
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    pages = [page for section in navigation for pages in section.values() for page in pages]
    assert [page for page in pages if not ((ROOT / "docs" / page).exists() or (ROOT / page).exists())] == []
