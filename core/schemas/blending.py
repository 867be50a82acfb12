"""The models that a sampling job draws beside its own, on the same canvas."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from core.schemas.fields import DatasetId

DEFAULT_SOFTNESS = 0.1
MIN_SOFTNESS = 0.01
MAX_SOFTNESS = 1  # the time of the blur grows with it
MAX_BLENDED = 7  # models besides the job's own
MAX_BLENDED_STRIDE = 64  # of which the sides of a canvas may have to be multiples, for the strides of all its nets


class BlendedModel(BaseModel):
    """Another model, and where its texture is drawn: its weight at a pixel is `weight` x the mask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: Annotated[str, Field(min_length=1, max_length=40, description="The model.")]
    mask_dataset_id: Annotated[
        DatasetId,
        Field(
            description="Where the model is drawn: a dataset of one picture, white where it is drawn and black where "
            "not, or transparent. It is scaled to cover width x height. Everywhere if absent."
        ),
    ] = None
    weight: Annotated[
        float | None,
        Field(
            validate_default=True,
            ge=0,
            le=1,
            description="Factor on the mask; 1 if absent. Without a mask: how much of what masks leave is the model's.",
        ),
    ] = None

    softness: Annotated[
        float | None,
        Field(
            ge=MIN_SOFTNESS,
            le=MAX_SOFTNESS,
            description="How soft the mask's border is made: standard deviation of a blur, in windows of the nets. "
            f"{DEFAULT_SOFTNESS:g} if absent: elements end at the border; from 0.25 on textures fade into each other.",
        ),
    ] = None

    @field_validator("weight")
    @classmethod
    def _has_a_mask_or_a_weight(cls, weight: float | None, info: ValidationInfo) -> float | None:
        if weight is None and info.data.get("mask_dataset_id", "refused") is None:
            raise ValueError("is needed without mask_dataset_id: how much of the picture the model has")
        return weight

    @field_validator("softness")
    @classmethod
    def _needs_a_mask(cls, softness: float | None, info: ValidationInfo) -> float | None:
        if softness is not None and info.data.get("mask_dataset_id", "refused") is None:
            raise ValueError("needs mask_dataset_id, the mask whose border is softened")
        return softness
