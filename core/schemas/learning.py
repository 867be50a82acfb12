"""The settings of learning: names, meaning and bounds, as in Algorithm 1 and section 7 of the paper."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from core.schemas.geometry import Boundary, map_size, receptive_field, total_stride

Top = Literal["convolutional", "object", "category"]
Initialization = Literal["zero", "noise", "data"]
Precision = Literal["auto", "float32", "bfloat16"]

COLOURS = 3  # channels of a picture, where it is not grey
MAX_SEED = 2**63 - 1
MIN_COMPARED = 7  # pixels: the side of the patches that pictures are compared by
MAX_PIXELS = 2**26  # of all chains, or of all pictures of an iteration: 64 of the largest
MAX_WEIGHTS = 2**26  # of a net: 256 MiB, and Adam and the states gone back to hold as many several times over
MAX_UNITS = 2**28  # of a net's maps of one picture: 1 GiB


class LayerParams(BaseModel):
    """One layer of the net (eq. 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    filters: Annotated[int, Field(ge=1, le=512, description="Number of filters.")]
    kernel_size: Annotated[int, Field(ge=1, le=63, description="Side of each filter, in positions of the map below.")]
    stride: Annotated[
        int, Field(ge=1, le=16, description="Sub-sampling: positions between neighbouring responses.")
    ] = 1


class LearningParams(BaseModel):
    """Everything that decides what a training job learns. Grey levels run from 0 to 255."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: Annotated[
        int,
        Field(
            ge=16,
            le=1024,
            description="Side in pixels that the training pictures are scaled and cropped to; also the chains' side.",
        ),
    ]
    patch_size: Annotated[
        int | None,
        Field(
            ge=2,
            le=128,
            description="Learn from patches of this side, cut anywhere out of the pictures, instead of from whole "
            "pictures: with one layer of this kernel_size the prototype model (Def. 4). Chains are patches too.",
        ),
    ] = None
    layers: Annotated[
        tuple[LayerParams, ...], Field(min_length=1, max_length=8, description="The net, lowest layer first.")
    ]
    top: Annotated[
        Top,
        Field(
            description="convolutional: the score is the sum of the highest maps (Def. 3); object: one more filter "
            "covers the whole of them, for aligned pictures of one object (Experiment 2); category: their sum, each "
            "filter weighted (Def. 2).",
        ),
    ] = "convolutional"
    layerwise: Annotated[
        bool, Field(description="Grow the layers one by one, refining those below; else learn all of them at once.")
    ] = True
    num_chains: Annotated[
        int, Field(ge=1, le=256, description="M̃: parallel Langevin chains, each a synthesized picture.")
    ] = 16
    contrastive: Annotated[
        bool,
        Field(
            description="Contrastive divergence: in each iteration the chains begin at the training pictures of that "
            "iteration, one chain a picture, and run langevin_steps; num_chains is not used. Else they persist.",
        ),
    ] = False
    batch_size: Annotated[
        int | None,
        Field(
            ge=1,
            le=1024,
            description="Training pictures (or patches) drawn for each iteration; null: all of them, 64 at most.",
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
            description="Standard deviation, in grey levels, that the pictures are stretched to while they are "
            "learned, so that σ and η suit faint pictures too; null leaves them as they are.",
        ),
    ] = None
    even_light: Annotated[
        float | None,
        Field(
            ge=1,
            le=1024,
            allow_inf_nan=False,
            description="Take out of the training pictures how light and hue change over more than this many pixels "
            "(the standard deviation of a Gaussian blur), which a net that sees less gathers in smears; null leaves "
            "it in.",
        ),
    ] = None
    picture_noise: Annotated[
        float,
        Field(
            ge=0,
            le=127,
            allow_inf_nan=False,
            description="Standard deviation, in grey levels, of white noise added to the training pictures, anew in "
            "each iteration. The reference's own, σ, spares the net from unlearning the reference in flat regions.",
        ),
    ] = 0.0
    bounded: Annotated[
        bool,
        Field(
            description="Keep the chains to the colours of the training pictures, give or take σ: the density is "
            "confined to a box along the axes of these colours, and chains cannot run away or into false colours.",
        ),
    ] = False
    step_size: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            validate_default=True,  # σ may be given and ε not
            description="ε: Langevin step size, in grey levels; below 2σ, where the dynamics is stable.",
        ),
    ] = 0.3
    iterations: Annotated[
        int,
        Field(ge=1, le=100_000, description="T: updates of the weights, for each layer grown where layerwise is true."),
    ] = 700
    learning_rate: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            allow_inf_nan=False,
            description="η: Adam's step size; in each stage it warms up, then decays to a fiftieth.",
        ),
    ] = 1e-3
    initialization: Annotated[
        Initialization,
        Field(description="Where the chains start: all zero, noise of the reference, or the training pictures."),
    ] = "zero"
    boundary: Annotated[
        Boundary,
        Field(
            validate_default=True,
            description="valid: chains end at their rim; torus: they continue periodically, so that pictures tile; "
            "padded: chains and training pictures lie among their mean, so that pixels at the rim count like others.",
        ),
    ] = "torus"
    random_lattice: Annotated[
        bool,
        Field(
            description="Lay the net's sub-sampling lattice elsewhere in each Langevin step and update, so "
            "that pictures cannot show it: f's mean over all places of the lattice is learned. Needs boundary torus.",
        ),
    ] = False
    keep_nearest: Annotated[
        bool,
        Field(
            description="In the last tenth of learning, keep the state whose synthesized pictures come nearest to the "
            "training pictures (sliced Wasserstein distance of patches), and end with it instead of with the last: a "
            "chain wanders, and the last moment is not its best. Not with contrastive.",
        ),
    ] = False
    seed: Annotated[
        int | None, Field(ge=0, le=MAX_SEED, description="Seed of weights, chains and noise; drawn when absent.")
    ] = None
    precision: Annotated[
        Precision,
        Field(
            description="Arithmetic of the convolutions: auto is bfloat16 where the processor or GPU has matrix units "
            "for it, else float32. Chains, noise and weights are float32 in any case.",
        ),
    ] = "auto"
    checkpoint_seconds: Annotated[
        float,
        Field(
            ge=1,
            le=3600,
            allow_inf_nan=False,
            description="Seconds between two checkpoints, from which an interrupted job goes on.",
        ),
    ] = 30.0

    @field_validator("patch_size")
    @classmethod
    def _lies_within(cls, patch_size: int | None, info: ValidationInfo) -> int | None:
        side = info.data.get("image_size")
        if patch_size is not None and side is not None and patch_size > side:
            raise ValueError(f"must be at most image_size, {side}")
        return patch_size

    @field_validator("layers")
    @classmethod
    def _fits_the_picture(cls, layers: tuple[LayerParams, ...], info: ValidationInfo) -> tuple[LayerParams, ...]:
        whole = info.data.get("patch_size") or info.data.get("image_size")
        if whole is None:  # refused itself
            return layers
        side, below, weights, units = whole, COLOURS, 0, 0
        for index, layer in enumerate(layers):
            stride = total_stride(layers[: index + 1])
            if layer.kernel_size > side:
                raise ValueError(
                    f"layers[{index}].kernel_size is {layer.kernel_size}, but the map it is applied to is only "
                    f"{side} positions wide (pictures of {whole} pixels)"
                )
            if stride > whole:
                raise ValueError(
                    f"layers[{index}].stride leaves nothing: the strides multiply to {stride}, pictures have only "
                    f"{whole} pixels"
                )
            side = map_size(layer, side)
            weights += layer.filters * below * layer.kernel_size**2
            units += layer.filters * side**2
            below = layer.filters
        if weights > MAX_WEIGHTS:
            raise ValueError(
                f"hold {weights:,} weights, and must hold {MAX_WEIGHTS:,} at most: fewer or smaller filters"
            )
        if units > MAX_UNITS:
            raise ValueError(
                f"make maps of {units:,} units of a picture of {whole} pixels, and must make {MAX_UNITS:,} at most: "
                "fewer filters, a larger stride or smaller pictures"
            )
        return layers

    @field_validator("step_size")
    @classmethod
    def _stable(cls, step_size: float, info: ValidationInfo) -> float:
        reference_std = info.data.get("reference_std")
        if reference_std is not None and step_size >= 2 * reference_std:
            raise ValueError(
                f"must be below 2 x reference_std = {2 * reference_std:g}, else the Langevin dynamics explodes"
            )
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
    def _suits_what_is_learned(cls, boundary: Boundary, info: ValidationInfo) -> Boundary:
        if boundary == "torus" and info.data.get("top") == "object":
            raise ValueError(
                "must be valid or padded with top object: an aligned object does not continue periodically"
            )
        if boundary == "torus" and info.data.get("patch_size") is not None:
            raise ValueError("must be valid or padded with patch_size: a patch does not continue periodically")
        if boundary == "torus" and info.data.get("contrastive"):
            raise ValueError(
                "must be valid or padded with contrastive: the training pictures, where the chains begin, do not "
                "continue periodically"
            )
        return boundary

    @field_validator("random_lattice")
    @classmethod
    def _lies_on_the_torus(cls, random_lattice: bool, info: ValidationInfo) -> bool:
        if random_lattice and info.data.get("boundary") not in ("torus", None):
            raise ValueError("needs boundary torus: only there can the lattice lie anywhere")
        whole, layers = info.data.get("patch_size") or info.data.get("image_size"), info.data.get("layers") or ()
        stride = total_stride(layers)
        if random_lattice and whole is not None and whole - stride + 1 < receptive_field(layers):
            raise ValueError(f"needs pictures larger than the net's window by its stride of {stride} pixels")
        return random_lattice

    @field_validator("keep_nearest")
    @classmethod
    def _can_be_compared(cls, keep_nearest: bool, info: ValidationInfo) -> bool:
        if keep_nearest and info.data.get("contrastive"):
            raise ValueError("must be false with contrastive: its chains begin at the training pictures")
        patch_size = info.data.get("patch_size")
        if keep_nearest and patch_size is not None and patch_size < MIN_COMPARED:
            raise ValueError(f"needs patches of {MIN_COMPARED} pixels at least")
        return keep_nearest

    @property
    def side(self) -> int:
        """Side in pixels of what is learned: pictures, or patches of them."""
        return self.patch_size or self.image_size

    @property
    def stages(self) -> int:
        """How many times Algorithm 1 is run: once a layer, or once in all."""
        return len(self.layers) if self.layerwise else 1

    def seeded(self, seed: int) -> Self:
        """These settings with `seed` in the place of an absent one."""
        return self if self.seed is not None else self.model_copy(update={"seed": seed})
