"""What the settings of learning demand of each other; `LearningParams` has what each means, and its bounds."""

from pydantic import BaseModel, ValidationInfo, field_validator

from core.schemas.geometry import Boundary
from core.schemas.learned import unstable_from
from core.schemas.net import LayerParams, check_net
from core.schemas.orientations import ANY_ANGLE, Orientations, check_orientations, check_turnable
from core.schemas.stages import (
    MAX_WHOLE_SIZE,
    canvas_side,
    check_coarse_object,
    check_coarse_side,
    check_room,
    coarse_sides,
)

MIN_COMPARED_SIDE = 7  # pixels: pictures are compared by patches of this side
MAX_PIXELS = 2**26  # of all chains, or of all training pictures of an iteration: 64 of the largest


class LearningChecks(BaseModel):
    """Validators of the fields of `LearningParams`. Each sees the fields before its own that were valid themselves."""

    @field_validator("patch_size", check_fields=False)
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

    @field_validator("layers", check_fields=False)
    @classmethod
    def _fits_the_picture(cls, layers: tuple[LayerParams, ...], info: ValidationInfo) -> tuple[LayerParams, ...]:
        whole = info.data.get("patch_size") or info.data.get("image_size")
        if whole is None:  # it was invalid itself
            return layers
        # An object may be padded, with pixels for the filters to see; `_fits_an_object` checks it if it is not.
        check_net(layers, whole, "padded" if info.data.get("top") == "object" else "valid")
        return layers

    @field_validator("orientations", check_fields=False)
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

    @field_validator("step_size", check_fields=False)
    @classmethod
    def _stable(cls, step_size: float, info: ValidationInfo) -> float:
        reference_std = info.data.get("reference_std")
        if reference_std is not None and step_size >= (limit := unstable_from(reference_std)):
            raise ValueError(f"must be below 2 x reference_std = {limit:g}, or the Langevin dynamics diverges")
        return step_size

    @field_validator("weight_decay", check_fields=False)
    @classmethod
    def _leaves_filters(cls, weight_decay: float, info: ValidationInfo) -> float:
        learning_rate = info.data.get("learning_rate")
        if learning_rate is not None and weight_decay * learning_rate >= 1:
            raise ValueError(f"must be below 1 / learning_rate = {1 / learning_rate:g}, or nothing is left of filters")
        return weight_decay

    @field_validator("num_chains", "batch_size", check_fields=False)
    @classmethod
    def _fits_in_memory(cls, count: int | None, info: ValidationInfo) -> int | None:
        side = info.data.get("patch_size") or info.data.get("image_size")
        if count is not None and side is not None and count * side**2 > MAX_PIXELS:
            raise ValueError(f"must be at most {MAX_PIXELS // side**2} with pictures of {side} x {side} pixels")
        return count

    @field_validator("boundary", check_fields=False)
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

    @field_validator("boundary", check_fields=False)
    @classmethod
    def _fits_an_object(cls, boundary: Boundary, info: ValidationInfo) -> Boundary:
        size, layers = info.data.get("patch_size") or info.data.get("image_size"), info.data.get("layers")
        if boundary == "valid" and info.data.get("top") == "object" and size is not None and layers is not None:
            try:
                check_net(layers, size)
            except ValueError as error:
                raise ValueError(f"must be padded, or needs smaller layers: {error}") from error
        return boundary

    @field_validator("random_lattice", check_fields=False)
    @classmethod
    def _needs_torus_and_room(cls, random_lattice: bool, info: ValidationInfo) -> bool:
        if random_lattice and info.data.get("boundary") not in ("torus", None):
            raise ValueError("needs boundary torus: elsewhere the grid of strides cannot be shifted")
        whole, layers = info.data.get("patch_size") or info.data.get("image_size"), info.data.get("layers") or ()
        if random_lattice and whole is not None:
            check_room(whole, layers)
        return random_lattice

    @field_validator("canvas_iterations", check_fields=False)
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

    @field_validator("coarse_iterations", check_fields=False)
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

    @field_validator("keep_nearest", "stop_when_steady", check_fields=False)
    @classmethod
    def _needs_comparable_pictures(cls, compares: bool, info: ValidationInfo) -> bool:
        if compares and info.data.get("contrastive"):
            raise ValueError("must be false with contrastive: its chains begin at the training pictures")
        patch_size = info.data.get("patch_size")
        if compares and patch_size is not None and patch_size < MIN_COMPARED_SIDE:
            raise ValueError(f"needs a patch_size of at least {MIN_COMPARED_SIDE} pixels")
        return compares
