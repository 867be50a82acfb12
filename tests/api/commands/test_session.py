"""What the commands share that use a service: options, output, and the service that they find."""

import inspect
import io
import json
from typing import Any

import pytest
import typer
from rich.console import Console
from support import pictures
from support.http import Api, free_port
from typer.testing import CliRunner

from api.client.data import Artifact, Skipped
from api.commands.session import Session, lines_of, service_command


def _session(as_json: bool) -> tuple[Session, io.StringIO]:
    said = io.StringIO()
    return Session(None, as_json, Console(file=said, width=20), embedded=False), said  # type: ignore[arg-type]


@pytest.mark.parametrize("as_json", [False, True])
def test_output_is_lines_for_people_or_json_alone(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    session, said = _session(as_json)
    entry = Skipped(file="a.txt", reason="text")
    session.list([entry], ("file", "reason"), lambda one: (one.file, one.reason))
    session.show(entry)
    session.done("a.txt was [red]deleted[/red], which is a long sentence", entry, also=1)
    lines = capsys.readouterr().out.splitlines()
    if as_json:
        about = {"file": "a.txt", "reason": "text"}
        assert [json.loads(line) for line in lines] == [about, about, {**about, "also": 1}]
        assert said.getvalue() == ""
    else:
        assert lines == ["file   reason", "a.txt  text", "file = a.txt", "reason = text"]
        assert said.getvalue() == "a.txt was [red]deleted[/red], which is a long sentence\n"


def test_of_what_was_created_the_id_is_printed_or_all(capsys: pytest.CaptureFixture[str]) -> None:
    about: dict[str, Any] = {"name": "a", "media_type": "b", "bytes": 1, "sha256": "c", "width": 1, "height": 1}
    entry = Artifact(**about, url="d", id="file_1")
    for as_json in (False, True):
        _session(as_json)[0].created(entry)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "file_1"
    assert json.loads(second)["sha256"] == "c"


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ("bricks", ["x = bricks"]),
        (None, ["x = null"]),
        ([1, 2], ["x = [1, 2]"]),
        ([], ["x = []"]),
        ([{"a": 1}, {"a": "ü"}], ["x:", '  {"a": 1}', '  {"a": "ü"}']),
        ({"a": [1], "b": "ü"}, ["x:", "  a = [1]", '  b = "ü"']),
        ({}, ["x = {}"]),
    ],
)
def test_a_field_is_shown_in_lines(value: Any, lines: list[str]) -> None:
    assert lines_of("x", value) == lines


def _app(function: Any) -> typer.Typer:
    app = typer.Typer(name="jobs")
    app.callback()(lambda: None)
    service_command(app, "show", example="genconvnet jobs show")(function)
    return app


def test_a_command_has_the_options_of_its_function_and_the_shared_ones(api: Api) -> None:
    found: list[Any] = []

    def show(session: Session, name: str, loud: bool = False) -> None:
        """Show it."""
        found.append((name, loud, session.as_json, session.embedded, list(session.client.datasets.list())))

    app = _app(show)
    words = ["show", "brick", "--loud", "--json", "--server", str(api.client.base_url)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert found == [("brick", True, True, False, [])]
    names = inspect.signature(app.registered_commands[0].callback).parameters  # type: ignore[arg-type]
    assert list(names) == ["name", "loud", "server", "key", "as_json", "data_dir"]


def test_the_error_of_a_command_names_it_and_has_its_code(api: Api) -> None:
    api.upload(("a.png", pictures.png()))

    def show(session: Session) -> None:
        session.client.jobs.show("job_none")

    done = CliRunner().invoke(_app(show), ["show", "--server", str(api.client.base_url)])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("genconvnet jobs show: ")
    done = CliRunner().invoke(_app(show), ["show", "--server", f"http://127.0.0.1:{free_port()}"])
    assert done.exit_code == 3
