"""How a model was learned, as far as it decides what can be asked of it."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationInfo

from core.schemas.geometry import Boundary
from core.schemas.learning import Top


class LearnedSettings(BaseModel):
    """The part of a model's `LearningParams` that other jobs go by. Grey levels, pixels."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    image_size: int
    patch_size: int | None = None
    top: Top = "convolutional"
    boundary: Boundary = "torus"
    step_size: float
    reference_std: float

    @property
    def side(self) -> int:
        """Side in pixels of what was learned, and of the chains: pictures, or patches of them."""
        return self.patch_size or self.image_size

    @property
    def only_size(self) -> str | None:
        """Why the model can draw nothing of another size than it learned; None where it can."""
        if self.patch_size is not None:
            return f"the model learned patches of {self.side} x {self.side} pixels, and draws only such"
        if self.top == "object":
            return f"the model learned an object that fills {self.side} x {self.side} pixels, and draws only such"
        return None

    @property
    def context(self) -> dict[str, Self]:
        """For pydantic's `model_validate`: the settings that a job's own are held against."""
        return {"learned": self}


def learned_of(info: ValidationInfo) -> LearnedSettings | None:
    """The model's settings inside a validator; None where a job's row is read that was checked when it was accepted."""
    learned: LearnedSettings | None = (info.context or {}).get("learned")
    return learned


def stable_step(step_size: float, info: ValidationInfo) -> float:
    """ε below 2σ of the model. ValueError where the Langevin dynamics would explode."""
    learned = learned_of(info)
    if learned is not None and step_size >= 2 * learned.reference_std:
        raise ValueError(f"must be below 2 x the model's reference_std = {2 * learned.reference_std:g}")
    return step_size


def boundary_of_pictures(boundary: Boundary) -> Boundary:
    """Where a picture ends that the model did not draw itself: such a one does not continue periodically."""
    return "valid" if boundary == "torus" else boundary
