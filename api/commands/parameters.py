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
        given[name] = _value(name, text)
    for name, value in given.items():
        require_finite(value, f"--{name.replace('_', '-')}" if name in options else f"--set {name}")
    return given


def require_finite(value: Any, option: str) -> None:
    """Raise typer.BadParameter if a number in the value of an option is NaN or infinite."""
    from api.client.finite_numbers import MUST_BE_FINITE, is_finite

    if not is_finite(value):
        raise typer.BadParameter(MUST_BE_FINITE, param_hint=option)


def _value(name: str, text: str) -> Any:
    """Return JSON or, if it is none, the text. Raises typer.BadParameter if it begins as JSON's lists and objects."""
    try:
        return json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith(("[", "{")):
            raise typer.BadParameter(f"{text} is not valid JSON: {error}", param_hint=f"--set {name}") from error
        return text
