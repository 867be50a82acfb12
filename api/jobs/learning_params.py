"""A preset's parameters with those of a request in their place, and what is said if they do not go together."""

import bisect
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from api.errors import field_errors, validation_problem
from core.recipe.presets import PRESETS, with_changes
from core.schemas.learning import LearningParams, can_be_learned


def learning_params(preset: str, overrides: Mapping[str, Any]) -> LearningParams:
    """Return a preset's parameters with those of a request in their place. Raises Problem if they do not go together.

    A `learning_rate` that the request does not have is the preset's, or smaller for more iterations.
    A wrong parameter that the request does not have is one of the preset: the message is about what the request has
    instead, with which it does not go together; if that is not a single parameter, it says where the value is from.
    """
    of_preset = PRESETS[preset].model_dump()
    try:
        return with_changes(PRESETS[preset], overrides)
    except ValidationError as error:
        errors = field_errors(error.errors(), ["params"])
    of_presets = [one for one in errors if (name := _parameter(one)) in of_preset and name not in overrides]
    if of_presets == errors and (smallest := _smallest_image_size(of_preset, overrides)):
        message = f"must be at least {smallest} with the preset {preset}; for smaller pictures choose another preset"
        raise validation_problem([{"field": "params.image_size", "message": message}])
    by_blamed: dict[str, list[dict[str, Any]]] = {}
    for one in of_presets:
        if blamed := _blamed(of_preset, overrides, _parameter(one)):
            by_blamed.setdefault(blamed, []).append(one)
        else:
            one["message"] += f" ({_short(of_preset[_parameter(one)], '{}, ')}from the preset {preset})"
    moved = [one for some in by_blamed.values() for one in some]
    raise validation_problem(
        [one for one in errors if one not in moved]
        + [
            {"field": f"params.{name}", "message": _conflict(overrides[name], some, preset, of_preset)}
            for name, some in by_blamed.items()
        ]
    )


def _blamed(of_preset: Mapping[str, Any], overrides: Mapping[str, Any], wrong: str) -> str | None:
    """Return the override without which the preset's parameter `wrong` is none; None if there is no such override."""
    for name in overrides:
        others = {other: value for other, value in overrides.items() if other != name}
        try:
            LearningParams.model_validate({**of_preset, **others})
        except ValidationError as error:
            if wrong in {_parameter(one) for one in field_errors(error.errors(), ["params"])}:
                continue
        return name
    return None


def _conflict(given: Any, wrong: Sequence[Mapping[str, Any]], preset: str, of_preset: Mapping[str, Any]) -> str:
    """Return why a parameter cannot be as given: what it makes wrong of the preset, and what to do."""
    names = [_parameter(one) for one in wrong]
    sets = " and ".join(f"{name}{_short(of_preset[name], ' ({})')}" for name in names)
    reasons = "; ".join(f"{_parameter(one)} {one['message']}" for one in wrong)
    return (
        f"cannot be {_short(given, '{}') or 'as it is set'} together with {sets} of the preset {preset}: {reasons}. "
        f"Set {' and '.join(names)} too"
    )


def _short(value: Any, form: str) -> str:
    """Return a parameter's value as JSON, in `form`; "" if it is a list or object."""
    return form.format(json.dumps(value).strip('"')) if value is None or isinstance(value, int | float | str) else ""


def _parameter(error: Mapping[str, Any]) -> str:
    """Return the parameter that an error is about: layers, if its field is params.layers[0].stride."""
    return re.split(r"\W", error["field"])[1]


def _smallest_image_size(of_preset: Mapping[str, Any], overrides: Mapping[str, Any]) -> int | None:
    """Return the least image_size that works with all else as it is; None if `overrides` has none that is too small."""

    def is_enough(size: int) -> bool:
        return can_be_learned({**of_preset, **overrides, "image_size": size})

    asked, usual = overrides.get("image_size"), of_preset["image_size"]
    if not isinstance(asked, int) or asked >= usual or not is_enough(usual):
        return None
    return asked + bisect.bisect_left(range(asked, usual), True, key=is_enough)
