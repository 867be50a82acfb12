"""Settings of inpainting: painting the transparent parts of pictures, or the seam that tiling them would show."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from core.schemas.fields import DEFAULT_STEPS, Seed, Steps, StepSize
from core.schemas.geometry import receptive_field
from core.schemas.learned import LearnedSettings, learned_of, stable_step
from core.schemas.learning import MAX_SEED

MAX_VERSIONS = 64  # of each picture
MAX_SEAM_WIDTH = 1024
SEAM_STEPS = 60
MAX_RESULTS = 256  # pictures times count


class InpaintParams(BaseModel):
    """How the transparent parts are painted. Absent settings are taken from the model when the job is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_VERSIONS,
            description=f"Versions of each picture, at most {MAX_VERSIONS}, and {MAX_RESULTS} in all.",
        ),
    ] = 1
    steps: Annotated[
        Steps | None,
        Field(
            description=f"Langevin steps for each picture. If absent {DEFAULT_STEPS}; {SEAM_STEPS} for a seam, whose "
            "painting begins with the photograph: more steps keep less of it.",
        ),
    ] = None
    step_size: StepSize = None
    seed: Seed = None
    seam: Annotated[
        bool,
        Field(
            description="true: make opaque pictures tileable. A band along their edges is painted anew, so that they "
            "continue seamlessly at the opposite side; all other pixels stay, to the byte. The short side must be the "
            "model's image_size."
        ),
    ] = False
    seam_width: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_SEAM_WIDTH,
            description="Pixels painted along each edge; if absent as many as the net's window is wide, or a quarter "
            "of image_size if that is less.",
        ),
    ] = None

    @field_validator("seam")
    @classmethod
    def _continues(cls, seam: bool, info: ValidationInfo) -> bool:
        learned = learned_of(info)
        if seam and learned is not None and learned.only_size is not None:
            raise ValueError(f"must be false: {learned.only_size}")
        return seam

    @field_validator("seam_width")
    @classmethod
    def _leaves_a_middle(cls, width: int | None, info: ValidationInfo) -> int | None:
        learned = learned_of(info)
        if width is not None and not info.data.get("seam"):
            raise ValueError("needs seam: true")
        if width is not None and learned is not None and 2 * width >= learned.side:
            raise ValueError(f"must be below {learned.side / 2:g}: nothing would be left to paint from")
        return width

    def resolved(self, learned: LearnedSettings, seed: int) -> "ResolvedInpaintParams":
        """Return complete settings. Raises ValidationError if the step size is too large for the model."""
        return ResolvedInpaintParams.model_validate(
            {
                **self.model_dump(),
                "steps": self.steps or (SEAM_STEPS if self.seam else DEFAULT_STEPS),
                "step_size": self.step_size or learned.step_size,
                "seed": seed if self.seed is None else self.seed,
                "seam_width": default_seam_width(learned) if self.seam and not self.seam_width else self.seam_width,
            },
            context=learned.context,
        )


def default_seam_width(learned: LearnedSettings) -> int:
    """Return the pixels to paint along each edge: the units of the net at the seam then see no pixel that is kept."""
    return min(receptive_field(learned.layers), learned.image_size // 4)


class ResolvedInpaintParams(InpaintParams):
    """Complete settings, as stored with a job."""

    steps: Steps
    step_size: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]

    _stable = field_validator("step_size")(stable_step)
