"""Settings of learning: names, meaning and bounds, as in Algorithm 1 and section 7 of the paper."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from core.schemas.geometry import Boundary
from core.schemas.learned import LearnedSize
from core.schemas.learning_checks import LearningChecks
from core.schemas.net import LayerParams, Top
from core.schemas.orientations import Orientation, Orientations
from core.schemas.stages import MAX_WHOLE_SIZE, MIN_SIDE, LearningStages

Initialization = Literal["zero", "noise", "data"]
Precision = Literal["auto", "float32", "bfloat16"]
OptimizerName = Literal["adam", "spectral"]

MAX_SEED = 2**63 - 1
MAX_IMAGE_SIZE = 4096  # pixels along each side of a training picture
DEFAULT_MAX_BATCH = 64  # training pictures of an iteration if the settings give no batch_size
MAX_PROCESSES = 64


def can_be_learned(params: Mapping[str, Any]) -> bool:
    """Return True if `LearningParams` accepts these settings."""
    try:
        LearningParams.model_validate(params)
    except ValidationError:
        return False
    return True


class LearningParams(LearningChecks, LearningStages, LearnedSize):
    """Everything that decides what a training job learns. Grey levels run from 0 to 255."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: Annotated[
        int,
        Field(
            ge=MIN_SIDE,
            le=MAX_IMAGE_SIZE,
            description="Side in pixels to which training pictures are scaled and cropped; also the side of the "
            f"chains, unless patch_size is set. More than {MAX_WHOLE_SIZE} needs patch_size.",
        ),
    ]
    patch_size: Annotated[
        int | None,
        Field(
            validate_default=True,  # because image_size may be given without it
            ge=2,
            le=512,
            description="Learn from patches with this side in pixels, cut at random places out of the pictures; chains "
            "have this size too. With boundary torus they are windows of a texture, and the model draws any size; else "
            "it draws patches (Def. 4 with one layer of this kernel_size). null: learn from whole pictures.",
        ),
    ] = None
    # Before the layers, because their validator has to know it.
    top: Annotated[
        Top,
        Field(
            description="How the score is computed from the highest maps. convolutional: their sum (Def. 3). object: "
            "by one more filter that covers them whole, for aligned pictures of one object (Experiment 2); pictures "
            "drawn later start from its chains and stay near them. category: their sum, with a weight for each filter "
            "(Def. 2).",
        ),
    ] = "convolutional"
    layers: Annotated[
        tuple[LayerParams, ...], Field(min_length=1, max_length=8, description="Layers of the net, the lowest first.")
    ]
    layerwise: Annotated[
        bool,
        Field(description="true: add the layers one by one, and refine those below. false: learn all of them at once."),
    ] = True
    num_chains: Annotated[
        int, Field(ge=1, le=256, description="Parallel Langevin chains, each a synthesized picture. In the paper: M̃.")
    ] = 16
    contrastive: Annotated[
        bool,
        Field(
            description="true: contrastive divergence: in each iteration one chain starts from each training picture "
            "of that iteration and runs langevin_steps; num_chains is not used. false: the chains persist.",
        ),
    ] = False
    batch_size: Annotated[
        int | None,
        Field(
            ge=1,
            le=1024,
            description="Training pictures (or patches) drawn for each iteration. null: all of them, at most 64.",
        ),
    ] = None
    langevin_steps: Annotated[
        int, Field(ge=1, le=1000, description="Langevin steps between two updates of the weights. In the paper: L.")
    ] = 10
    reference_std: Annotated[
        float,
        Field(
            gt=0,
            le=255,
            allow_inf_nan=False,
            description="Standard deviation of the Gaussian reference, in grey levels. In the paper: σ.",
        ),
    ] = 1.0
    contrast: Annotated[
        float | None,
        Field(
            gt=0,
            le=127,
            allow_inf_nan=False,
            description="Standard deviation, in grey levels, to which the pictures are scaled for learning, so that "
            "reference_std and learning_rate suit faint pictures too. null: no scaling.",
        ),
    ] = None
    even_light: Annotated[
        float | None,
        Field(
            ge=1,
            le=1024,
            allow_inf_nan=False,
            description="Remove from the training pictures changes of light and hue over distances larger than this "
            "many pixels (the standard deviation of a Gaussian blur). A net that sees less than that would turn them "
            "into smears. null: keep them.",
        ),
    ] = None
    picture_noise: Annotated[
        float,
        Field(
            ge=0,
            le=127,
            allow_inf_nan=False,
            description="Standard deviation, in grey levels, of white noise added to the training pictures in each "
            "iteration. With noise as strong as reference_std the net need not learn to suppress the reference in flat "
            "regions.",
        ),
    ] = 0.0
    orientations: Annotated[
        Orientations,
        Field(
            description="The turns and flips that the training pictures are learned in. Degrees anticlockwise: 0, 90, "
            "180, 270; after a flip left to right flipped-0 to flipped-270. Each iteration draws one for each picture "
            "or patch. any, alone: every angle, for textures that look alike from all sides; the finest detail loses "
            "contrast, and patch_size must be below two thirds of image_size.",
        ),
    ] = ("0",)
    bounded: Annotated[
        bool,
        Field(
            description="Confine the chains to a box around the colours of the training pictures, wider by "
            "reference_std, along the principal axes of these colours. Chains can then neither diverge nor take false "
            "colours.",
        ),
    ] = False
    step_size: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            validate_default=True,  # because σ may be given without ε
            description="Langevin step size, in grey levels, below 2 x reference_std. In the paper: ε.",
        ),
    ] = 0.3
    iterations: Annotated[
        int,
        Field(
            ge=1,
            le=100_000,
            description="Updates of the weights; with layerwise, those for each layer. In the paper: T.",
        ),
    ] = 700
    learning_rate: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            allow_inf_nan=False,
            description="How far each update moves the weights. In each stage it warms up, then decays to a fiftieth. "
            "If absent, the preset's. A texture learned whole by optimizer spectral then gets less if it has more "
            "iterations than the preset: with twice as many, half. A larger image_size allows more iterations, in "
            "proportion to its pixels. In the paper: η.",
        ),
    ] = 1e-3
    optimizer: Annotated[
        OptimizerName,
        Field(
            description="How the filters move along their gradient. adam: each weight by about the same amount. "
            "spectral: by the same amount in all directions of a layer's gradient (its singular vectors), which learns "
            "the structure of textures in fewer updates. Biases and the weights of a category always move by Adam.",
        ),
    ] = "adam"
    weight_decay: Annotated[
        float,
        Field(
            ge=0,
            le=1000,
            allow_inf_nan=False,
            description="Weight decay of the first layer's filters: before each update they lose this times the "
            "learning rate of themselves. What they began with at random and pictures do not need, a grain in objects, "
            "is forgotten. Below 1 / learning_rate. 0: none.",
        ),
    ] = 0.0
    initialization: Annotated[
        Initialization,
        Field(description="What the chains start from: zero, noise of the reference, or (data) the training pictures."),
    ] = "zero"
    boundary: Annotated[
        Boundary,
        Field(
            validate_default=True,
            description="valid: the net sees nothing beyond a chain's edge. torus: each edge continues at the opposite "
            "one, so that pictures tile. padded: chains and training pictures are surrounded by their mean, so that "
            "pixels at the edge count like others.",
        ),
    ] = "torus"
    random_lattice: Annotated[
        bool,
        Field(
            description="Shift the grid of the net's strides at random in each Langevin step and update, so that it "
            "does not show in pictures. The mean of f over all shifts is learned. Needs boundary torus.",
        ),
    ] = False
    canvas_iterations: Annotated[
        int,
        Field(
            ge=0,
            le=100_000,
            description="Updates of a last stage, the canvas: one chain as large as the training picture (at most "
            f"{MAX_WHOLE_SIZE} pixels; pictures turned by any angle, as large as is known of them). It begins as the "
            "coarse picture, enlarged, or else is laid with patches of the learned chains, and learns how elements lie "
            "beside each other, at half the learning_rate. Needs patch_size and boundary torus. 0: none.",
        ),
    ] = 0
    coarse_factor: Annotated[
        int,
        Field(
            ge=2,
            le=16,
            description="How many times smaller than image_size the picture is that coarse_iterations learn. There its "
            "elements should be 10 to 30 pixels wide.",
        ),
    ] = 4
    coarse_iterations: Annotated[
        int,
        Field(
            ge=0,
            le=100_000,
            description="Updates of a first stage that learns the layout of large elements: a net of its own for the "
            "whole picture, made smaller by coarse_factor, at two thirds of the learning_rate. What it synthesizes, "
            "enlarged, is where the canvas begins. With top object it learns at a third of the learning_rate; "
            "enlarged, it is where the net begins, and its pictures are where the chains do. "
            "Needs canvas_iterations, or top object without patch_size. 0: none.",
        ),
    ] = 0
    keep_nearest: Annotated[
        bool,
        Field(
            description="End with the best state of the last tenth of learning instead of with the last one: the "
            "state whose synthesized pictures are nearest to the training pictures (sliced Wasserstein distance of "
            "patches). Not with contrastive.",
        ),
    ] = False
    stop_when_steady: Annotated[
        bool,
        Field(
            description="End a stage early once its synthesized pictures have stopped coming nearer to the training "
            "pictures (sliced Wasserstein distance of patches): the learning rate then falls to its end within a "
            "quarter of the iterations. Resuming a job that ended so turns it off. Not with contrastive.",
        ),
    ] = False
    seed: Annotated[
        int | None, Field(ge=0, le=MAX_SEED, description="Seed of weights, chains and noise; random if absent.")
    ] = None
    precision: Annotated[
        Precision,
        Field(
            description="Arithmetic of the convolutions. auto: bfloat16 if the processor or GPU is clearly faster in "
            "it, else float32. Chains, noise and weights are always float32.",
        ),
    ] = "auto"
    processes: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_PROCESSES,
            description="Processes that learn together, each on a GPU or on a share of the cores, and with a share of "
            "the chains and pictures: at most as many as there are of these. Their number changes rounding alone, "
            "which grows over many iterations. A worker that can start fewer says so in the job's remarks.",
        ),
    ] = 1
    checkpoint_seconds: Annotated[
        float,
        Field(
            ge=1,
            le=3600,
            allow_inf_nan=False,
            description="Seconds between two checkpoints. An interrupted job resumes from the last one.",
        ),
    ] = 30.0

    @property
    def side(self) -> int:
        """Side in pixels of the training pictures, or of the patches if `patch_size` is set."""
        return self.patch_size or self.image_size

    @property
    def learns_parts(self) -> bool:
        """Whether transparent pixels are not learned from; else they are laid on white.

        A unit that sees the whole picture (top object) cannot leave them out, nor can chains that begin at it.
        """
        return self.top != "object" and not self.contrastive

    @property
    def is_texture(self) -> bool:
        """True for pictures without a fixed place, learned by persistent chains, all layers at once."""
        return self.top == "convolutional" and not (self.fixed_size or self.contrastive or self.layerwise)

    @property
    def turns(self) -> tuple[Orientation, ...]:
        """The turns and flips that pictures are shown in; none if they are turned by any angle."""
        return tuple(one for one in self.orientations if one != "any")

    def most_processes(self, pictures: int) -> int:
        """Return among how many processes an iteration can be divided, learning from so many pictures."""
        batch = self.batch_size or DEFAULT_MAX_BATCH
        batch = batch if self.patch_size is not None else min(batch, pictures)
        return batch if self.contrastive else max(batch, self.num_chains)

    def seeded(self, seed: int) -> Self:
        """Return these settings, with `seed` if they have none."""
        return self if self.seed is not None else self.model_copy(update={"seed": seed})
