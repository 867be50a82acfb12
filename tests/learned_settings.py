"""Settings that models were learned with, which the settings of jobs with them are checked against."""

import pytest
from pydantic import ValidationError

from core.schemas.learned import LearnedSettings

COMMON = {
    "image_size": 96,
    "layers": [
        {"filters": 4, "kernel_size": 9, "stride": 3},
        {"filters": 4, "kernel_size": 3},
    ],  # window: 15
    "step_size": 0.3,
    "reference_std": 1.0,
}
TEXTURE = LearnedSettings(**COMMON)
OBJECT = LearnedSettings(**COMMON, top="object", boundary="padded")
CANVAS = LearnedSettings(**COMMON, patch_size=48, canvas_iterations=300)
PATCHES = LearnedSettings(**COMMON, patch_size=12, boundary="valid")


def refusals(resolve):
    """Return the messages of all validation errors by field."""
    with pytest.raises(ValidationError) as caught:
        resolve()
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}
