"""Refusals to start: one sentence that says what to do, and exit code 2."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from core.runtime.startup import REFUSED, CannotStart, exit_if_refused, prepare_folder, print_refusal


def test_a_refusal_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, exit_if_refused("genconvnet api", as_json=False):
        raise CannotStart("the port is\n  taken: choose another")
    assert (ended.value.code, REFUSED) == (REFUSED, 2)
    assert capsys.readouterr().err == "genconvnet api: the port is taken: choose another\n"


def test_other_errors_are_no_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="a bug"), exit_if_refused("genconvnet"):
        raise RuntimeError("a bug")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("log_format", "as_json", "expected"),
    [("json", None, True), ("console", None, False), ("console", True, True), ("json", False, False)],
)
def test_a_refusal_has_the_form_of_the_logs_unless_another_is_asked_for(
    log_format: str,
    as_json: bool | None,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GENCONVNET_LOG_FORMAT", log_format)
    print_refusal("it is wrong", as_json=as_json)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    if expected:
        line = json.loads(said)
        assert (line["event"], line["level"], line["reason"]) == ("cannot_start", "critical", "it is wrong")
    else:
        assert said == "it is wrong\n"


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    for _ in range(2):
        prepare_folder(tmp_path / "a" / "b", "the data folder", "choose another")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_that_cannot_be_used_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for folder, reason in (
        (tmp_path / "file", "is not a folder but a file"),
        (tmp_path / "file" / "a", r"cannot be created \(Not a directory\)"),
    ):
        with pytest.raises(CannotStart, match=f"the data folder {folder} {reason}: choose another"):
            prepare_folder(folder, "the data folder", "choose another")

    def full(**_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(CannotStart, match=r"cannot be written .*make it writable for this user, or choose another"):
        prepare_folder(tmp_path, "the data folder", "choose another")
