"""The entry point of `genconvnet`: Ctrl-C ends it quietly while it imports, and reaches the command afterwards."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from api import console


@pytest.fixture
def before() -> Iterator[Any]:
    handler = signal.getsignal(signal.SIGINT)
    yield handler
    signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_the_command_has_the_handler_that_the_process_began_with(
    before: Any, handler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    del before
    found: list[Any] = []
    set_handler, given = signal.signal, []
    monkeypatch.setattr("api.cli.main", lambda: found.append(signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, handler)
    monkeypatch.setattr(signal, "signal", lambda number, to: given.append(to) or set_handler(number, to))
    console.main()
    assert found == [handler]
    assert given == ([console._end, handler] if handler is signal.default_int_handler else [handler])


def test_an_interrupted_import_ends_with_the_code_of_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    console._end(signal.SIGINT, None)
    assert codes == [130]
