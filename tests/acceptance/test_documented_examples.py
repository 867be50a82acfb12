"""The examples of docs/client.md run, and the command lines of docs/cli.md and the README are understood."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from support import pictures
from support.client import TINY
from support.service import Service

from api.cli import app

ROOT = Path(__file__).parents[2]
LOCAL = "http://127.0.0.1:8000"
# In place of what would take long.
SMALLER = {
    'preset="quick"': "**TINY",
    "iterations=200, seed=1": "**TINY",
    "iterations=200, seed=2": "**TINY",
    '"brick.jpg", seed=seed': '"brick.jpg", **TINY',
    "width=1024, height=512": "width=48, height=32, steps=5",
}


def _blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_examples_of_the_client_run(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("brick.jpg").write_bytes(pictures.encoded(pictures.decoded(pictures.stripes()), "JPEG"))
    code = "\n".join(_blocks("docs/client.md", "python"))
    for long, short in {**SMALLER, LOCAL: str(service.http.base_url)}.items():
        assert long in code
        code = code.replace(long, short)
    names: dict[str, Any] = {"TINY": {**TINY, "iterations": 5}, "__name__": "example"}
    exec(compile(code, "docs/client.md", "exec"), names)
    assert names["first"].wait().model_id is not None
    names["client"].close()
    assert Path("wall.png").is_file()
    assert Path("learned/synthesized-000.png").is_file()
    assert "422 params.iterations" in capsys.readouterr().out


COMMANDS = [
    line
    for document in ("docs/cli.md", "README.md")
    for block in _blocks(document, "sh")
    for line in block.splitlines()
    if line.startswith("genconvnet ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_documented_command_line_is_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "brick.jpg",
        "more.zip",
        "wall.jpg",
        "wall.png",
        "mask.png",
        "height.png",
        "sketch.png",
        "damaged.png",
        "brick.safetensors",
        "synthesized-000.png",
    ):
        Path(name).touch()
    Path("bricks").mkdir()
    command, (program, *words) = typer.main.get_command(app), shlex.split(line, comments=True)
    if "export" in words:
        Path("brick.safetensors").unlink()
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(program, words)
