"""The settings of reconstructing pictures by a finished model's auto-encoder."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["one_pass", "attractor"]


class ReconstructParams(BaseModel):
    """How pictures are rebuilt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Annotated[
        Mode,
        Field(
            description="one_pass: bottom-up, then top-down, σ²B (eq. 20); attractor: the local mode of the model that "
            "the noiseless dynamics falls into (Prop. 2)."
        ),
    ] = "one_pass"
    steps: Annotated[
        int, Field(ge=1, le=100_000, description="Steps to the attractor at the most; one_pass takes none.")
    ] = 1000

    @property
    def passes(self) -> int:
        """How many steps a picture may take."""
        return self.steps if self.mode == "attractor" else 1
