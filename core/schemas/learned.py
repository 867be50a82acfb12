"""The settings a model was learned with that limit what other jobs can ask of it."""

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, ValidationInfo

from core.schemas.geometry import Boundary
from core.schemas.net import LayerParams, Top


class LearnedSize:
    """What follows from the settings that decide how large the pictures are that a model can draw."""

    if TYPE_CHECKING:  # at run time pydantic would take them for fields, and put them first
        patch_size: int | None
        top: Top
        boundary: Boundary

    @property
    def of_patches(self) -> bool:
        """Whether patches are learned that stand alone, so that nothing is known of whole pictures."""
        return self.patch_size is not None and self.boundary != "torus"

    @property
    def of_windows(self) -> bool:
        """Whether the patches are windows of a texture, which continues beyond them."""
        return self.patch_size is not None and self.boundary == "torus"

    @property
    def fixed_size(self) -> bool:
        """Whether the model draws only the size it learned."""
        return self.top == "object" or self.of_patches


class LearnedSettings(BaseModel, LearnedSize):
    """The part of a model's `LearningParams` that other jobs use. Grey levels, pixels."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    image_size: int
    patch_size: int | None = None
    layers: tuple[LayerParams, ...]
    top: Top = "convolutional"
    boundary: Boundary = "torus"
    canvas_iterations: int = 0
    step_size: float
    reference_std: float

    @property
    def side(self) -> int:
        """Side in pixels of the pictures that were learned; of the patches if only these can be drawn."""
        return self.patch_size if self.patch_size is not None and self.of_patches else self.image_size

    @property
    def only_size(self) -> str | None:
        """Why the model can only draw the size it learned; None if it can draw others."""
        if self.of_patches:
            return f"the model learned patches of {self.side} x {self.side} pixels, and can draw only these"
        if self.top == "object":
            return (
                f"the model learned an object that fills {self.side} x {self.side} pixels, and can draw only this size"
            )
        return None

    @property
    def context(self) -> dict[str, Self]:
        """Context for `model_validate`: a job's settings are checked against these."""
        return {"learned": self}


def learned_of(info: ValidationInfo) -> LearnedSettings | None:
    """Return the model's settings inside a validator; None if stored settings are read, which were checked before."""
    learned: LearnedSettings | None = (info.context or {}).get("learned")
    return learned


def unstable_from(reference_std: float) -> float:
    """Return the ε from which on the Langevin dynamics diverges: 2σ, for each pixel of the reference alone."""
    return 2 * reference_std


def stable_step(step_size: float, info: ValidationInfo) -> float:
    """Check that ε is below 2σ of the model. Raises ValueError if not, because the Langevin dynamics would diverge."""
    learned = learned_of(info)
    if learned is not None and step_size >= (limit := unstable_from(learned.reference_std)):
        raise ValueError(f"must be below 2 x the model's reference_std = {limit:g}")
    return step_size


def boundary_of_pictures(boundary: Boundary) -> Boundary:
    """Return the boundary for pictures that the model did not draw: they do not continue periodically."""
    return "valid" if boundary == "torus" else boundary
