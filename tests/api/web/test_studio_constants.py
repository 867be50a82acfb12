"""Numbers that the studio computes with by itself are the same as in Python."""

import json
import re
from pathlib import Path

import pytest

from api import web
from core.recipe import expected_time
from core.schemas.classification import MIN_EFFECTIVE_SAMPLES
from core.schemas.fields import DEFAULT_STEPS
from core.schemas.inpainting import SEAM_STEPS
from core.schemas.sampling import CANVAS_STEPS
from core.schemas.stages import MAX_WHOLE_SIZE
from core.schemas.thumbnails import LONGEST_SIDE
from worker.picture_warnings import FEW_OF_OBJECT

DATA = Path(web.__file__).parent / "studio" / "data"


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        ("expected.js", "STEPS", DEFAULT_STEPS),
        ("expected.js", "CANVAS_STEPS", CANVAS_STEPS),
        ("expected.js", "SEAM_STEPS", SEAM_STEPS),
        ("certainty.js", "MIN_EFFECTIVE_SAMPLES", MIN_EFFECTIVE_SAMPLES),
        ("estimate.js", "FIXED_SECONDS", expected_time.FIXED_SECONDS),
        ("estimate.js", "GRADIENT_STEPS", expected_time.GRADIENT_STEPS),
        ("estimate.js", "SMALL_OBJECT_COST", expected_time.SMALL_OBJECT_COST),
        ("estimate.js", "CANVAS_COST", expected_time.CANVAS_COST),
        ("estimate.js", "MAX_CANVAS", MAX_WHOLE_SIZE),
        ("pictures.js", "THUMBNAIL_SIDE", LONGEST_SIDE),
        ("draft.js", "FEW_OF_OBJECT", FEW_OF_OBJECT),
    ],
)
def test_a_number_of_the_studio_is_that_of_python(file: str, name: str, value: float) -> None:
    assert constant(file, name) == value


def test_the_studio_estimates_no_time_where_python_does_not() -> None:
    assert sorted(constant("estimate.js", "UNKNOWN")) == sorted(expected_time.UNKNOWN)


def constant(file: str, name: str) -> float | list[str]:
    """Return the value of the only constant of this name in a script."""
    (found,) = re.findall(rf"^const {name} = (.+?);", (DATA / file).read_text(encoding="utf-8"), re.MULTILINE)
    value: float | list[str] = json.loads(found)
    return value
