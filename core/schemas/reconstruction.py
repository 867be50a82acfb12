"""Settings of reconstruction: pictures through a finished model's auto-encoder."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["one_pass", "attractor"]


class ReconstructParams(BaseModel):
    """How pictures are reconstructed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Annotated[
        Mode,
        Field(
            description="one_pass: bottom-up, then top-down, σ²B (eq. 20). attractor: the local mode of the model in "
            "which the dynamics without noise ends (Prop. 2)."
        ),
    ] = "one_pass"
    steps: Annotated[int, Field(ge=1, le=100_000, description="Most steps to the attractor; not used by one_pass.")] = (
        1000
    )

    @property
    def passes(self) -> int:
        """Most steps that a picture takes."""
        return self.steps if self.mode == "attractor" else 1
