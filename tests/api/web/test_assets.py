"""The files of the page, held in memory and named by a version that changes with any of them."""

import gzip
from pathlib import Path

import pytest

from api.web import assets


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(assets, "FOLDER", tmp_path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.js").write_text("a" * 1000)
    (tmp_path / "b.js").write_text("b")
    (tmp_path / "a.css").write_text("c")
    (tmp_path / "a.png").write_bytes(b"png" * 400)
    (tmp_path / "notes").write_text("text")
    return tmp_path


def _load() -> assets.Assets:
    found: assets.Assets = assets.load.__wrapped__()
    return found


def test_every_file_is_there_by_its_path_with_its_type(folder: Path) -> None:
    del folder
    found = _load()
    assert {path: one.media_type for path, one in found.files.items()} == {
        "a.css": "text/css; charset=utf-8",
        "a.png": "image/png",
        "b.js": "text/javascript; charset=utf-8",
        "notes": "text/plain; charset=utf-8",
        "parts/a.js": "text/javascript; charset=utf-8",
    }
    assert found.modules == ["b.js", "parts/a.js"]


def test_what_is_not_compressed_in_itself_is_compressed_once_and_the_same_each_time(folder: Path) -> None:
    script, picture = (_load().files[path] for path in ("parts/a.js", "a.png"))
    assert picture.compressed is None
    assert script.compressed is not None
    assert gzip.decompress(script.compressed) == script.content == (folder / "parts" / "a.js").read_bytes()
    assert _load().files["parts/a.js"].compressed == script.compressed, "without the time in it"


def test_the_version_changes_with_any_content_and_any_name(folder: Path) -> None:
    versions = [_load().version, _load().version]
    assert versions[0] == versions[1]
    (folder / "b.js").write_text("B")
    versions.append(_load().version)
    (folder / "b.js").rename(folder / "c.js")
    versions.append(_load().version)
    assert len(set(versions)) == 3
