"""Settings of learning: names, meaning and bounds, as in Algorithm 1 and section 7 of the paper."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from core.schemas.geometry import Boundary
from core.schemas.learned import LearnedSize, unstable_from
from core.schemas.net import LayerParams, Top, check_net
from core.schemas.orientations import (
    ANY_ANGLE,
    Orientation,
    Orientations,
    check_orientations,
    check_turnable,
)
from core.schemas.stages import (
    MAX_WHOLE_SIZE,
    MIN_SIDE,
    LearningStages,
    canvas_side,
    check_coarse_object,
    check_coarse_side,
    check_room,
    coarse_sides,
)

Initialization = Literal["zero", "noise", "data"]
Precision = Literal["auto", "float32", "bfloat16"]
OptimizerName = Literal["adam", "spectral"]

MAX_SEED = 2**63 - 1
MIN_COMPARED_SIDE = 7  # pixels: pictures are compared by patches of this side
MAX_IMAGE_SIZE = 4096  # pixels along each side of a training picture
MAX_PIXELS = 2**26  # of all chains, or of all training pictures of an iteration: 64 of the largest
DEFAULT_MAX_BATCH = 64  # training pictures of an iteration if the settings give no batch_size
MAX_PROCESSES = 64


def can_be_learned(params: Mapping[str, Any]) -> bool:
    """Return True if `LearningParams` accepts these settings."""
    try:
        LearningParams.model_validate(params)
    except ValidationError:
        return False
    return True


class LearningParams(LearningStages, LearnedSize):
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
        int, Field(ge=1, le=256, description="M̃: number of parallel Langevin chains, each a synthesized picture.")
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
        int, Field(ge=1, le=1000, description="L: Langevin steps between two updates of the weights.")
    ] = 10
    reference_std: Annotated[
        float,
        Field(
            gt=0,
            le=255,
            allow_inf_nan=False,
            description="σ: standard deviation of the Gaussian reference, in grey levels.",
        ),
    ] = 1.0
    contrast: Annotated[
        float | None,
        Field(
            gt=0,
            le=127,
            allow_inf_nan=False,
            description="Standard deviation, in grey levels, to which the pictures are scaled for learning, so that σ "
            "and η suit faint pictures too. null: no scaling.",
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
            "iteration. With noise of the reference's σ the net need not learn to suppress the reference in flat "
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
            description="Confine the chains to a box around the colours of the training pictures, wider by σ, along "
            "the principal axes of these colours. Chains can then neither diverge nor take false colours.",
        ),
    ] = False
    step_size: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            validate_default=True,  # because σ may be given without ε
            description="ε: Langevin step size, in grey levels. The dynamics is stable below 2σ.",
        ),
    ] = 0.3
    iterations: Annotated[
        int,
        Field(ge=1, le=100_000, description="T: updates of the weights; with layerwise, updates for each layer added."),
    ] = 700
    learning_rate: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            allow_inf_nan=False,
            description="η: the learning rate. In each stage it warms up, then decays to a fiftieth.",
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
            "whole picture, made smaller by coarse_factor. What it synthesizes, enlarged, is where the canvas begins; "
            "with top object, where the chains begin, and the net as that of the coarse level, enlarged, which learns "
            "at a third of the learning_rate. "
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

    @field_validator("patch_size")
    @classmethod
    def _at_most_image_size(cls, patch_size: int | None, info: ValidationInfo) -> int | None:
        side = info.data.get("image_size")
        if patch_size is not None and side is not None and patch_size > side:
            raise ValueError(f"must be at most image_size, {side}")
        if patch_size is None and side is not None and side > MAX_WHOLE_SIZE:
            raise ValueError(
                f"must be set for an image_size of {side}: pictures larger than {MAX_WHOLE_SIZE} pixels are learned by "
                "patches of them"
            )
        return patch_size

    @field_validator("layers")
    @classmethod
    def _fits_the_picture(cls, layers: tuple[LayerParams, ...], info: ValidationInfo) -> tuple[LayerParams, ...]:
        whole = info.data.get("patch_size") or info.data.get("image_size")
        if whole is None:  # it was invalid itself
            return layers
        # An object may be padded, with pixels for the filters to see; `_fits_an_object` checks it if it is not.
        check_net(layers, whole, "padded" if info.data.get("top") == "object" else "valid")
        return layers

    @field_validator("orientations")
    @classmethod
    def _can_be_shown(cls, orientations: Orientations, info: ValidationInfo) -> Orientations:
        check_orientations(orientations)
        image_size, patch_size, layers = (info.data.get(name) for name in ("image_size", "patch_size", "layers"))
        if ANY_ANGLE not in orientations or image_size is None or layers is None:  # these two were invalid themselves
            return orientations
        if patch_size is None and (info.data.get("top") == "object" or info.data.get("contrastive")):
            raise ValueError(
                "any needs patch_size with top object and with contrastive: they learn from whole pictures, and those "
                "that are turned have corners of which nothing is known"
            )
        check_turnable(image_size, patch_size, layers)
        return orientations

    @field_validator("step_size")
    @classmethod
    def _stable(cls, step_size: float, info: ValidationInfo) -> float:
        reference_std = info.data.get("reference_std")
        if reference_std is not None and step_size >= (limit := unstable_from(reference_std)):
            raise ValueError(f"must be below 2 x reference_std = {limit:g}, or the Langevin dynamics diverges")
        return step_size

    @field_validator("num_chains", "batch_size")
    @classmethod
    def _fits_in_memory(cls, count: int | None, info: ValidationInfo) -> int | None:
        side = info.data.get("patch_size") or info.data.get("image_size")
        if count is not None and side is not None and count * side**2 > MAX_PIXELS:
            raise ValueError(f"must be at most {MAX_PIXELS // side**2} with pictures of {side} x {side} pixels")
        return count

    @field_validator("boundary")
    @classmethod
    def _not_torus_for_aperiodic_data(cls, boundary: Boundary, info: ValidationInfo) -> Boundary:
        if boundary == "torus" and info.data.get("top") == "object":
            raise ValueError(
                "must be valid or padded with top object: an aligned object does not continue periodically"
            )
        if boundary == "torus" and info.data.get("contrastive"):
            raise ValueError(
                "must be valid or padded with contrastive: the training pictures, where the chains begin, do not "
                "continue periodically"
            )
        return boundary

    @field_validator("boundary")
    @classmethod
    def _fits_an_object(cls, boundary: Boundary, info: ValidationInfo) -> Boundary:
        size, layers = info.data.get("patch_size") or info.data.get("image_size"), info.data.get("layers")
        if boundary == "valid" and info.data.get("top") == "object" and size is not None and layers is not None:
            try:
                check_net(layers, size)
            except ValueError as error:
                raise ValueError(f"must be padded, or needs smaller layers: {error}") from error
        return boundary

    @field_validator("random_lattice")
    @classmethod
    def _needs_torus_and_room(cls, random_lattice: bool, info: ValidationInfo) -> bool:
        if random_lattice and info.data.get("boundary") not in ("torus", None):
            raise ValueError("needs boundary torus: elsewhere the grid of strides cannot be shifted")
        whole, layers = info.data.get("patch_size") or info.data.get("image_size"), info.data.get("layers") or ()
        if random_lattice and whole is not None:
            check_room(whole, layers)
        return random_lattice

    @field_validator("canvas_iterations")
    @classmethod
    def _needs_windows(cls, iterations: int, info: ValidationInfo) -> int:
        if iterations and info.data.get("boundary") not in ("torus", None):
            raise ValueError("must be 0 unless boundary is torus: only windows of a texture continue on a canvas")
        if iterations and "patch_size" in info.data and info.data["patch_size"] is None:
            raise ValueError("must be 0 without patch_size: the pictures are learned whole already")
        patch_size, layers, size = (info.data.get(name) for name in ("patch_size", "layers", "image_size"))
        if iterations and patch_size is not None and layers is not None and size is not None:
            check_net(layers, canvas_side(size, patch_size, ANY_ANGLE in info.data.get("orientations", ())))
        return iterations

    @field_validator("coarse_iterations")
    @classmethod
    def _needs_a_canvas(cls, iterations: int, info: ValidationInfo) -> int:
        size, factor, layers = (info.data.get(name) for name in ("image_size", "coarse_factor", "layers"))
        if not iterations or size is None or factor is None or layers is None:  # one of these was invalid itself
            return iterations
        if info.data.get("top") == "object":
            for name in ("patch_size", "contrastive", "layerwise"):
                if info.data.get(name):
                    raise ValueError(
                        f"must be 0 with {name}: an object's coarse level learns its whole net from whole pictures"
                    )
            check_coarse_object(size, factor, layers[0])
            return iterations
        if not info.data.get("canvas_iterations", True):
            raise ValueError("must be 0 without canvas_iterations: the canvas is what begins as the coarse picture")
        any_angle = ANY_ANGLE in info.data.get("orientations", ())
        _, side = coarse_sides(size, info.data.get("patch_size") or size, any_angle, factor)
        check_coarse_side(layers, side, random_lattice=bool(info.data.get("random_lattice")))
        return iterations

    @field_validator("keep_nearest", "stop_when_steady")
    @classmethod
    def _needs_comparable_pictures(cls, compares: bool, info: ValidationInfo) -> bool:
        if compares and info.data.get("contrastive"):
            raise ValueError("must be false with contrastive: its chains begin at the training pictures")
        patch_size = info.data.get("patch_size")
        if compares and patch_size is not None and patch_size < MIN_COMPARED_SIDE:
            raise ValueError(f"needs a patch_size of at least {MIN_COMPARED_SIDE} pixels")
        return compares

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
