"""Settings of learning, and those that models were learned with, which settings of their jobs are checked against."""

import pytest
from pydantic import ValidationError

from core.schemas.learned import LearnedSettings

GOOD = {"image_size": 32, "layers": [{"filters": 4, "kernel_size": 7, "stride": 2}, {"filters": 3, "kernel_size": 3}]}
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


def refusal(model, **settings):
    """Return field and message of the only validation error."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(settings)
    (error,) = caught.value.errors()
    return ".".join(map(str, error["loc"])), error["msg"]


def refusals(resolve):
    """Return the messages of all validation errors by field."""
    with pytest.raises(ValidationError) as caught:
        resolve()
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}
