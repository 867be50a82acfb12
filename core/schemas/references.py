"""The datasets and models that a job's stored parameters name: `start_dataset_id`, `blend[0].model_id`."""

import re
from collections.abc import Mapping
from typing import Any

DATASET_PARAMS = ("start_dataset_id", "guide_dataset_id", "end_dataset_id")  # parameters that name a dataset


def datasets_of(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids of the datasets that a job's stored parameters name, by parameter."""
    named = {name: params[name] for name in DATASET_PARAMS if params.get(name) is not None}
    return named | _of_blend(params, "mask_dataset_id")


def models_of(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids of the models that a job's stored parameters name, by parameter."""
    return _of_blend(params, "model_id")


def without_ids(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's stored parameters without the ids of `datasets_of` and `models_of`."""
    named = datasets_of(params).keys() | models_of(params).keys()
    left = {name: value for name, value in params.items() if name not in named}
    if params.get("blend"):
        left["blend"] = [
            {name: value for name, value in one.items() if f"blend[{index}].{name}" not in named}
            for index, one in enumerate(params["blend"])
        ]
    return left


def with_ids(params: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    """Return parameters with ids by parameter, the inverse of `without_ids`.

    A name for which there is no place becomes a parameter of its own, which no job has.
    """
    joined = dict(params)
    if isinstance(blend := joined.get("blend"), list | tuple):
        joined["blend"] = blend = [dict(one) if isinstance(one, Mapping) else one for one in blend]
    for name, id_ in named.items():
        place = re.fullmatch(r"blend\[(\d)\]\.(\w+)", name)
        if place and isinstance(blend, list) and int(place[1]) < len(blend) and isinstance(blend[int(place[1])], dict):
            blend[int(place[1])][place[2]] = id_
        else:
            joined[name] = id_
    return joined


def _of_blend(params: Mapping[str, Any], field: str) -> dict[str, str]:
    blend = params.get("blend") or ()
    return {f"blend[{index}].{field}": one[field] for index, one in enumerate(blend) if one.get(field) is not None}
