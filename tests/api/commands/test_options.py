"""A folder for results is checked before a job is posted."""

import os
from pathlib import Path

import pytest
import typer

from api.commands.options import require_writable


def test_a_folder_that_exists_or_can_be_made_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "a" / "b", Path("relative"), Path()):
        require_writable(folder, "--out")
    assert list(tmp_path.iterdir()) == [], "nothing is made yet"


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for folder in (tmp_path / "file", tmp_path / "file" / "a" / "b", tmp_path / "dangling"):
        with pytest.raises(typer.BadParameter, match=r"cannot be a folder: .* is a file") as refused:
            require_writable(folder, "--out")
        assert refused.value.param_hint == "--out"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, int]] = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((path, mode)))  # an administrator may always
    with pytest.raises(typer.BadParameter, match=r"nothing can be written to .*new: .* is not writable"):
        require_writable(tmp_path / "new", "--out")
    assert asked == [(tmp_path, os.W_OK | os.X_OK)]
