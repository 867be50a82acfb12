"""Parameters of a job from the command line: `--set NAME=VALUE`, and options of their own for the common ones."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set any parameter, such as iterations=500 or layerwise=false; `genconvnet presets show PRESET` lists "
        "those of training. May be repeated.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Seed of all that is random; drawn if absent.")]
Priority = Annotated[int, typer.Option(help="-10 to 10; jobs of higher priority start first.")]
TimeLimit = Annotated[float | None, typer.Option(metavar="SECONDS", help="The job fails after so much work.")]


def parameters(assignments: Sequence[str] | None, **options: Any) -> dict[str, Any]:
    """Return the parameters that were given. Values are JSON, or else text. Raises typer.BadParameter."""
    given = {name: value for name, value in options.items() if value is not None}
    for assignment in assignments or ():
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{assignment!r} is not NAME=VALUE", param_hint="--set")
        if name in given:
            raise typer.BadParameter(f"{name} is given twice", param_hint="--set")
        given[name] = _value(text)
    return given


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
