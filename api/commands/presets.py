"""`genconvnet presets` lists the presets of training, and explains their parameters."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from api.commands.session import Session, service_command

app = typer.Typer(name="presets", help="List the presets of training and their parameters.", no_args_is_help=True)


def complete_preset(incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield the presets of this release that begin like this, for completion in the shell."""
    from core.recipe.presets import DESCRIPTIONS

    yield from ((name, about) for name, about in DESCRIPTIONS.items() if name.startswith(incomplete))


PresetName = Annotated[str, typer.Argument(metavar="PRESET", autocompletion=complete_preset, help="Its name.")]


@service_command(app, "list", example="genconvnet presets list", needs_data=False)
def listing(session: Session) -> None:
    """List all presets."""
    presets = session.client.presets.list()
    session.list(presets, ("name", "description"), lambda preset: (preset.name, preset.description))


@service_command(app, "show", example="genconvnet presets show texture", needs_data=False)
def show(session: Session, name: PresetName) -> None:
    """Show a preset: each parameter with its value, its bounds and its meaning."""
    presets = {preset.name: preset for preset in session.client.presets.list()}
    if name not in presets:
        known = ", ".join(sorted(presets))
        raise typer.BadParameter(f"unknown preset {name!r}; the presets are {known}", param_hint="PRESET")
    preset = presets[name]
    if session.as_json:
        session.print_data(preset)
        return
    session.print_line(f"{preset.name}: {preset.description}\n")
    for parameter in preset.parameters:
        session.print_line(f"{parameter.name} = {json.dumps(parameter.default)}{_bounds(parameter.bounds)}")
        session.print_line(f"    {parameter.description}")


def _bounds(schema: dict[str, Any]) -> str:
    """Return the bounds of a parameter in words, from its JSON schema."""
    options = [schema, *schema.get("anyOf", ())]
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    parts = [f"{sign} {option[word]:g}" for option in options for word, sign in signs if word in option]
    parts += [" | ".join(map(str, option["enum"])) for option in options if "enum" in option]
    return f"  ({', '.join(parts)})" if parts else ""
