"""The command line says in one line what was wrong with its use, and in which form."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api import cli
from api.cli import app
from core.runtime import logs
from core.runtime.settings import BadSettings

Refuse = Callable[..., str]


def test_an_invalid_setting_is_named_on_one_line(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("genconvnet")), "doctor"]
    environment = {**os.environ, "GENCONVNET_LEASE_SECONDS": "0"}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("genconvnet: GENCONVNET_LEASE_SECONDS: ")


@pytest.mark.parametrize("command", [["doctor"], ["sweep"], ["keys", "list"], ["api"], ["worker", "--queue", "train"]])
@pytest.mark.parametrize(
    ("variable", "value"),
    [("GENCONVNET_LEASE_SECONDS", "0"), ("GENCONVNET_BROKER_URL", "localhost:6379"), ("GENCONVNET_LOG_LEVEL", "loud")],
)
def test_every_command_refuses_an_invalid_setting(command: list[str], variable: str, value: str) -> None:
    done = CliRunner().invoke(app, command, env={variable: value})
    assert isinstance(done.exception, BadSettings)
    assert str(done.exception).startswith(f"{variable}: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("serve --prot 1", "genconvnet serve: No such option: --prot"),
        ("serve --port many", "genconvnet serve: Invalid value for '--port': Input should be a valid integer"),
        ("keys create", "genconvnet keys create: Missing argument 'name'"),
        ("keys create ", "genconvnet keys create: Invalid value: a name has 1 to 200 characters"),
        ("sample model --server ftp://x", "genconvnet sample: Invalid value: 'ftp://x' is not a URL"),
        ("severe", "genconvnet: No such command 'severe'"),
    ],
)
def test_wrong_use_is_one_line(refuse: Refuse, words: str, sentence: str) -> None:
    assert refuse(*words.split(" ")).startswith(sentence)


@pytest.mark.parametrize(
    ("words", "log_format", "as_json"),
    [
        ("keys list --data-dir file", "auto", False),
        ("keys list --data-dir file --json", "auto", True),
        ("keys list --data-dir file", "json", True),
        ("keys list --prot 1", "auto", False),
        ("keys list --prot 1 --json", "console", True),
        ("train no-such-file.png", "auto", False),
        ("serve --prot 1", "auto", False),
        ("serve --data-dir file", "auto", True),  # it belongs to the service's logs
        ("serve --data-dir file", "console", False),
    ],
)
def test_a_mistake_is_a_plain_sentence_in_a_pipe_unless_json_is_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    log_format: str,
    as_json: bool,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure_logs", lambda _: None)
    monkeypatch.setattr("api.commands.database.configure_logs", lambda _: None)
    monkeypatch.setenv("GENCONVNET_LOG_FORMAT", log_format)
    monkeypatch.setattr(sys, "argv", ["genconvnet", *words.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert (json.loads(said)["reason"] if as_json else said).startswith("genconvnet")
