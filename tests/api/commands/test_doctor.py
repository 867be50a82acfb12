"""What `genconvnet doctor` prints of its checks, and its exit code."""

import json

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.operations.doctor import CheckResult

FINE = CheckResult("database", True, "it answers")
UNKNOWN = CheckResult("torch", None, "is not [installed] here")
BROKEN = CheckResult("broker", False, "it does not answer " + "x" * 200, "start it")


def _run(monkeypatch: pytest.MonkeyPatch, *found: CheckResult, options: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    asked: list[bool] = []

    def checks(_: object, deep: bool) -> list[CheckResult]:
        asked.append(deep)
        return list(found)

    monkeypatch.setattr("api.operations.doctor.run_checks", checks)
    done = CliRunner().invoke(app, ["doctor", *options])
    assert asked == ["--deep" in options]
    return done.exit_code, done.stdout.splitlines()


def test_each_check_is_a_line_with_its_sign_and_advice_below(monkeypatch: pytest.MonkeyPatch) -> None:
    code, lines = _run(monkeypatch, FINE, UNKNOWN, BROKEN)
    assert code == 1
    assert lines == [
        "✓ database     it answers",
        "- torch        is not [installed] here",
        f"✗ broker       {BROKEN.message}",
        "               start it",
    ]


def test_what_is_unknown_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, FINE, UNKNOWN, options=("--deep",))[0] == 0


def test_as_json_each_check_is_a_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    code, lines = _run(monkeypatch, BROKEN, FINE, options=("--json",))
    assert (code, [json.loads(line)["ok"] for line in lines]) == (1, [False, True])
