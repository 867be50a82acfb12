"""`genconvnet show` and `replay` of a picture's file."""

import json
from pathlib import Path

import pytest
from support import pictures
from support.origins import origin_of, picture_of
from typer.testing import CliRunner

from api.cli import app
from api.client import Invalid
from api.commands.pictures import replay
from api.commands.session import Session


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.png"
    path.write_bytes(pictures.png())
    return path


def test_a_picture_says_how_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture_of(params={"count": 1, "seed": 7}))
    lines = CliRunner().invoke(app, ["show", str(path)]).stdout.splitlines()
    assert "kind = sample" in lines
    assert lines[lines.index("params:") + 1 :][:2] == ["  count = 1", "  seed = 7"]
    as_json = json.loads(CliRunner().invoke(app, ["show", str(path), "--json"]).stdout)
    assert as_json == origin_of(params={"count": 1, "seed": 7}).model_dump(mode="json")


def test_a_picture_that_does_not_say_it_is_wrong_use(plain: Path) -> None:
    done = CliRunner().invoke(app, ["show", str(plain)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"genconvnet show: {plain}: ")


def test_a_refused_replay_names_the_file(session: Session, plain: Path) -> None:
    with pytest.raises(Invalid) as refused:
        replay(session, plain)
    assert str(refused.value).startswith(f"{plain}: ")
