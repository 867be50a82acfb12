"""Write docs/reference/parameters.md from the schemas: `make reference`. Without torch."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from core.recipe.presets import DESCRIPTIONS, PRESETS, TWO_CORE_SECONDS  # noqa: E402
from core.schemas.blending import BlendedModel  # noqa: E402
from core.schemas.classification import ClassifyParams  # noqa: E402
from core.schemas.inpainting import InpaintParams  # noqa: E402
from core.schemas.learning import LearningParams  # noqa: E402
from core.schemas.net import LayerParams  # noqa: E402
from core.schemas.reconstruction import ReconstructParams  # noqa: E402
from core.schemas.sampling import SampleParams  # noqa: E402

PAGE = ROOT / "docs/reference/parameters.md"
OTHER_KINDS: dict[str, type[BaseModel]] = {
    "sample": SampleParams,
    "reconstruct": ReconstructParams,
    "inpaint": InpaintParams,
    "classify": ClassifyParams,
}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
COUNTS = {"minItems": "at least", "maxItems": "at most"}
INTRODUCTION = """# Parameters

Written from the schemas by `make reference`; `GET /v1/presets` and `/docs` say the same. Send them as `params` of
`POST /v1/jobs`, on the command line as `--set NAME=VALUE`, in Python as keywords. A job shows its complete parameters,
with the seed that was drawn.

Grey levels run from 0 to 255. The letters are those of the paper: [core/README.md](../../core/README.md).

## Presets of `train`

A preset gives every parameter a value; those that you send replace them. Seconds: the whole job on two cores of an AMD
EPYC without AMX, where it was measured ([experiments](../experiments/README.md)).
"""


def main() -> None:
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page as Markdown."""
    parts = [INTRODUCTION, _presets(), "## Parameters of `train`\n", _table(LearningParams, "default of the schema")]
    parts += ["Each of the `layers`:\n", _table(LayerParams), "## What each preset sets\n"]
    parts += ["Parameters that are not named here have the default of the table above.\n"]
    parts += [f"**{name}**\n\n```json\n{_own_settings(params)}\n```\n" for name, params in PRESETS.items()]
    for kind, schema in OTHER_KINDS.items():
        parts += [f"## Parameters of `{kind}`\n", _table(schema)]
        if kind == "sample":
            parts += ["Each of `blend`:\n", _table(BlendedModel)]
    return "\n".join(parts)


def _presets() -> str:
    lines = ["| preset | for | seconds |", "|---|---|---|"]
    for name in PRESETS:
        seconds = TWO_CORE_SECONDS.get(name)
        lines.append(f"| `{name}` | {DESCRIPTIONS[name]} | {'' if seconds is None else f'{seconds:,.0f}'} |")
    return "\n".join(lines) + "\n"


def _own_settings(params: LearningParams) -> str:
    """Return the settings that differ from the schema's defaults, as JSON with a line for each."""
    values = params.model_dump(mode="json", exclude_defaults=True)
    for layer in values["layers"]:
        layer.setdefault("stride", 1)
    lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())
    return "{\n" + ",\n".join(lines) + "\n}"


def _table(schema: type[BaseModel], default: str = "default") -> str:
    lines = [f"| parameter | values | {default} | meaning |", "|---|---|---|---|"]
    for name, field in schema.model_json_schema()["properties"].items():
        value = f"`{json.dumps(field['default'])}`" if "default" in field else ""
        values, meaning = ", ".join(_values(field)), field.get("description", "").replace("|", "\\|")
        lines.append(f"| `{name}` | {values} | {value} | {meaning} |")
    return "\n".join(lines) + "\n"


def _values(field: dict[str, Any]) -> Iterator[str]:
    """Yield the type and bounds of a field of a JSON schema, in words."""
    if "anyOf" in field:
        yield " or ".join(", ".join(_values(one)) for one in field["anyOf"])
    elif "const" in field:
        yield f"`{field['const']}`"
    elif "enum" in field:
        yield " ".join(f"`{one}`" for one in field["enum"])
    elif "type" in field:
        yield {"array": "list", "integer": "whole number", "null": "`null`"}.get(field["type"], field["type"])
    yield from (f"{sign} {field[limit]:,}" for limit, sign in LIMITS.items() if limit in field)
    yield from (f"{words} {field[limit]}" for limit, words in COUNTS.items() if limit in field)


if __name__ == "__main__":
    main()
