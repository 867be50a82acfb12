"""Presets on the command line: completion, and the bounds of parameters in words."""

from typing import Any

import pytest

from api.commands.presets import _bounds, complete_preset
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
