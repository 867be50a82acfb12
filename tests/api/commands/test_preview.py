"""Pictures are drawn in terminals that can show them, and in no others."""

import io
import os
import sys

import pytest
from rich.console import Console
from support import pictures

from api.commands import preview


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1


def _terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """Let this process run in a terminal with 24-bit colours, and return its console."""
    for stream in ("stdin", "stdout"):  # not in a fixture: pytest replaces them once more for the test itself
        monkeypatch.setattr(sys, stream, _Terminal())
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((80, 24)))
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=100)


def test_a_terminal_with_all_colours_can_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    assert preview.can_draw(_terminal(monkeypatch))


def test_other_outputs_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    console, plain = _terminal(monkeypatch), io.StringIO()
    for other in (
        Console(file=plain, force_terminal=False),
        Console(file=plain, force_terminal=True, color_system="256"),
        Console(file=plain, force_terminal=True, color_system="truecolor", no_color=True),
    ):
        assert not preview.can_draw(other)
    with monkeypatch.context() as patched:
        patched.setattr(os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
        assert not preview.can_draw(console), "a terminal that does not know its size"
    for stream in ("stdin", "stdout"):
        with monkeypatch.context() as patched:
            patched.setattr(sys, stream, io.StringIO())
            assert not preview.can_draw(console)


@pytest.mark.filterwarnings("ignore:Image.Image.getdata:DeprecationWarning")  # by textual_image
def test_a_picture_is_drawn_as_half_blocks_no_wider_than_the_terminal() -> None:
    for width, cells in ((100, preview.CELLS), (10, 10)):
        console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=width)
        with console.capture() as drawn:
            console.print(preview.renderable(pictures.png(64, 32), console))
        lines = drawn.get().splitlines()
        assert {line.count("▀") + line.count("▄") for line in lines if line} == {cells}
