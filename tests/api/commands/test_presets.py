"""Presets on the command line: completion, and the bounds of parameters in words."""

import json
from dataclasses import replace
from typing import Any

import pytest
import typer

from api.commands.presets import _bounds, complete_preset, show
from api.commands.session import Session
from core.recipe.presets import DESCRIPTIONS, PRESETS


def test_the_presets_that_begin_like_a_word_are_offered_with_what_they_are() -> None:
    assert dict(complete_preset("")) == DESCRIPTIONS
    assert {name for name, _ in complete_preset("ph")} == {name for name in PRESETS if name.startswith("ph")} != set()
    assert list(complete_preset("no such preset")) == []


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, ""),
        ({"minimum": 1, "maximum": 100}, "  (≥ 1, ≤ 100)"),
        ({"exclusiveMinimum": 0, "exclusiveMaximum": 1.5}, "  (> 0, < 1.5)"),
        ({"anyOf": [{"type": "integer", "minimum": 8}, {"type": "null"}]}, "  (≥ 8)"),
        ({"enum": ["torus", "padded"]}, "  (torus | padded)"),
    ],
)
def test_bounds_are_said_in_words(schema: dict[str, Any], words: str) -> None:
    assert _bounds(schema) == words


def test_a_preset_is_shown_with_the_meaning_of_each_parameter(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    show(session, "quick")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"quick: {DESCRIPTIONS['quick']}"
    value = json.dumps(PRESETS["quick"].iterations)
    at = next(index for index, line in enumerate(lines) if line.startswith("iterations = "))
    assert lines[at] == f"iterations = {value}  (≥ 1, ≤ 100000)"
    assert lines[at + 1].startswith("    ")
    show(replace(session, as_json=True), "quick")
    assert json.loads(capsys.readouterr().out)["name"] == "quick"


def test_an_unknown_preset_is_told_with_those_that_there_are(session: Session) -> None:
    with pytest.raises(typer.BadParameter, match=f"unknown preset 'no'; the presets are {min(PRESETS)}"):
        show(session, "no")
