"""A command's connection to a running API, and commands on a data folder."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from support.http import Api
from typer.testing import CliRunner, Result

from api.cli import app
from api.client import Client
from api.commands.session import Session


@pytest.fixture
def said() -> io.StringIO:
    """What `session` has said on standard error."""
    return io.StringIO()


@pytest.fixture
def session(api: Api, said: io.StringIO) -> Iterator[Session]:
    with Client(str(api.client.base_url)) as client:
        yield Session(client, False, Console(file=said, width=200), embedded=False)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command on a data folder in this process; the exit code must be as expected."""
    monkeypatch.setattr("api.commands.database.configure_logs", lambda _: None)
    monkeypatch.setenv("GENCONVNET_DATA_DIR", str(tmp_path))

    def run(*words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return run
