"""The turns and flips that training pictures are shown in, and what turning by any angle needs."""

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from core.schemas.geometry import Layer, receptive_field, total_stride

Orientation = Literal["0", "90", "180", "270", "flipped-0", "flipped-90", "flipped-180", "flipped-270"]
ANY_ANGLE: Literal["any"] = "any"
RESAMPLING_MARGIN = 2  # pixels at each edge of a picture that have too few neighbours to be resampled from

_Named = Literal[Orientation, "any"]
_AsGiven = Annotated[list[_Named], Field(min_length=1, max_length=8)] | _Named
_NAMES = (*get_args(Orientation), ANY_ANGLE)


def _names_in_a_list(orientations: Any) -> list[str]:
    """Return the names of what was given: names or whole numbers of degrees, in a list or one alone."""
    given = orientations if isinstance(orientations, list | tuple) else [orientations]
    return [_name(one) for one in given]


def _name(given: Any) -> str:
    name = str(given) if type(given) is int else given
    if name not in _NAMES:
        said = json.dumps(given, default=str)[:60]
        raise ValueError(f'{said} is no orientation; they are {", ".join(_NAMES)}: for example ["0", "90"], or "any"')
    return str(name)


Orientations = Annotated[
    tuple[_Named, ...],
    Field(min_length=1, max_length=8),
    BeforeValidator(_names_in_a_list, json_schema_input_type=_AsGiven),
]


def check_orientations(orientations: Sequence[str]) -> None:
    """Check that each is named once, and any angle alone. Raises ValueError."""
    if len(set(orientations)) < len(orientations):
        raise ValueError("must name each orientation once: all of them are equally likely")
    if ANY_ANGLE in orientations and len(orientations) > 1:
        raise ValueError("must name any alone: it holds all turns")


def check_turnable(image_size: int, patch_size: int | None, layers: Sequence[Layer]) -> None:
    """Check that what is left of a picture turned by any angle can be learned. Raises ValueError."""
    if patch_size is not None:
        if image_size < turnable_side(patch_size):
            raise ValueError(
                f"any needs an image_size of at least {turnable_side(patch_size)}: patches of {patch_size} pixels "
                "turned by any angle must lie within the pictures"
            )
        return
    needed = turnable_side(receptive_field(layers) + total_stride(layers))
    if image_size < needed:
        raise ValueError(
            f"any needs an image_size of at least {needed}: in pictures turned by 45 degrees, no unit of the net, "
            f"which sees {receptive_field(layers)} x {receptive_field(layers)} pixels, would see known pixels alone"
        )


def turnable_side(side: int) -> int:
    """Return the side of the square of pixels that a square of `side` is resampled from, whatever it is turned by.

    It is larger by an even number, so that the middles of both fall on pixels alike.
    """
    whole = math.ceil((side - 1) * math.sqrt(2)) + 1 + 2 * RESAMPLING_MARGIN
    return whole + (whole - side) % 2


def turned_side(size: int) -> int:
    """Return the side of the largest middle of a square of `size` that is known whatever it is turned by; 0 if none.

    It is smaller by an even number, so that the middles of both fall on pixels alike.
    """
    return max((side for side in range(size - 2, 0, -2) if turnable_side(side) <= size), default=0)
