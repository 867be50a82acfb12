"""Settings of reconstruction: pictures through a finished model's auto-encoder."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Mode = Literal["one_pass", "attractor"]
MAX_FRAMES = 32  # of the walk of one picture
MAX_ALL_FRAMES = 256  # of a job


class ReconstructParams(BaseModel):
    """How pictures are reconstructed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Annotated[
        Mode,
        Field(
            description="one_pass: bottom-up, then top-down (eq. 20). attractor: what the model "
            "remembers, the local mode in which the dynamics without noise ends (Prop. 2)."
        ),
    ] = "one_pass"
    steps: Annotated[int, Field(ge=1, le=100_000, description="Most steps to the attractor; not used by one_pass.")] = (
        1000
    )
    frames: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_FRAMES,
            description="Pictures of each walk to the attractor that are kept, from the picture itself to the "
            "attractor, about equally far apart; fewer if the walk has fewer steps. At least 2, or 0 for none; at most "
            f"{MAX_ALL_FRAMES} in all.",
        ),
    ] = 0

    @field_validator("frames")
    @classmethod
    def _of_a_walk(cls, frames: int, info: ValidationInfo) -> int:
        if frames and info.data.get("mode") == "one_pass":
            raise ValueError("needs mode attractor: one pass does not walk")
        if frames == 1:
            raise ValueError("must be 0, or at least 2: the first and the last picture of the walk")
        return frames

    @property
    def passes(self) -> int:
        """Most steps that a picture takes."""
        return self.steps if self.mode == "attractor" else 1
