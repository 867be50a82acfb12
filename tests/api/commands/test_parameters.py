"""Parameters of a job from `--set NAME=VALUE` and from options of their own."""

import math
from typing import Any

import pytest
import typer

from api.commands.parameters import parameters


@pytest.mark.parametrize(
    ("text", "value"),
    [("500", 500), ("false", False), ("null", None), ("1e-3", 0.001), ("photo", "photo"), ("a=b", "a=b"), ("", "")],
)
def test_a_value_is_json_or_else_text(text: str, value: Any) -> None:
    assert parameters([f"x={text}"]) == {"x": value}


def test_options_that_were_not_given_are_left_out() -> None:
    given = parameters(['layers=[{"filters": 4}]'], steps=None, seed=0, tileable=False)
    assert given == {"seed": 0, "tileable": False, "layers": [{"filters": 4}]}
    assert parameters(None) == {}


@pytest.mark.parametrize(
    ("assignments", "options", "hint", "said"),
    [
        (["iterations"], {}, "--set", "'iterations' is not NAME=VALUE"),
        (["=3"], {}, "--set", "'=3' is not NAME=VALUE"),
        (["seed=3"], {"seed": 4}, "--set", "seed is given twice"),
        (["a=1", "a=2"], {}, "--set", "a is given twice"),
        (["layers=[{]"], {}, "--set layers", "is not valid JSON"),
        (['layers= {"a": }'], {}, "--set layers", "is not valid JSON"),
        (["step_size=NaN"], {}, "--set step_size", "must be a finite number"),
        (["end_shares=[0, 1e999]"], {}, "--set end_shares", "must be a finite number"),
        ([], {"start_strength": math.inf}, "--start-strength", "must be a finite number"),
    ],
)
def test_what_is_wrong_names_the_option(assignments: list[str], options: dict[str, Any], hint: str, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said) as refused:
        parameters(assignments, **options)
    assert refused.value.param_hint == hint
