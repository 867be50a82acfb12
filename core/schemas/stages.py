"""The stages of learning: on a coarse level, layer by layer or all layers at once, and on a canvas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel

from core.schemas.geometry import receptive_field, total_stride
from core.schemas.net import LayerParams, Top, check_net
from core.schemas.orientations import ANY_ANGLE, Orientations, turned_side

MIN_SIDE = 16  # pixels along each side of a picture that is learned whole
MAX_WHOLE_SIZE = 1024  # pixels along each side of a picture, or of a canvas, that is learned whole
COARSE_RATE = 2 / 3  # learning rate of the coarse level, relative to that of the full size
OBJECT_COARSE_RATE = 1 / 3  # the same of an object's
CANVAS_RATE = 0.5  # learning rate of the canvas, relative to that of the windows
_ONE_LEVEL = {"coarse_iterations": 0, "canvas_iterations": 0}
_ONE_CHAIN = {**_ONE_LEVEL, "layerwise": False, "num_chains": 1, "batch_size": 1}  # on the coarse level, on the canvas


def canvas_side(image_size: int, patch_size: int, any_angle: bool) -> int:
    """Return the side of the canvas: of the picture, or what is known of it at any angle, up to MAX_WHOLE_SIZE."""
    known = max(turned_side(image_size), patch_size) if any_angle else image_size
    return min(known, MAX_WHOLE_SIZE)


def coarse_sides(image_size: int, patch_size: int, any_angle: bool, factor: int) -> tuple[int, int]:
    """Return the side of the picture on the coarse level, and that of the chain, which becomes the canvas."""
    picture, chain = (round(side / factor) for side in (image_size, canvas_side(image_size, patch_size, any_angle)))
    return picture, min(chain, turned_side(picture)) if any_angle else chain


def check_room(side: int, layers: Sequence[LayerParams]) -> None:
    """Check that the grid of strides can be shifted on pictures of a side. Raises ValueError."""
    stride = total_stride(layers)
    if side - stride + 1 < receptive_field(layers):
        raise ValueError(f"needs pictures larger than the net's window by its stride of {stride} pixels")


def check_coarse_side(layers: Sequence[LayerParams], side: int, *, random_lattice: bool) -> None:
    """Check that a net can learn a texture of `side` pixels on the coarse level. Raises ValueError."""
    try:
        if side < MIN_SIDE:
            raise ValueError(f"at least {MIN_SIDE} x {MIN_SIDE} are needed")
        check_net(layers, side)
        if random_lattice:
            check_room(side, layers)
    except ValueError as error:
        raise ValueError(
            f"needs a smaller coarse_factor, or must be 0: of the picture, {side} x {side} pixels are left: {error}"
        ) from error


def check_coarse_object(image_size: int, factor: int, first: LayerParams) -> None:
    """Check that an object's net on the coarse level, enlarged, can be that of the full size. Raises ValueError.

    first: the first layer at the full size. The maps are as large on both levels.
    """
    sides = {"kernel_size": first.kernel_size, "stride": first.stride}
    if broken := [name for name, value in sides.items() if value % factor]:
        raise ValueError(
            f"must be 0 unless {' and '.join(broken)} of layers[0] can be divided by coarse_factor, {factor}: the net "
            "of the coarse level, enlarged, is where that of the full size begins"
        )
    if image_size // factor < MIN_SIDE:
        raise ValueError(f"must be 0 with an image_size below {factor * MIN_SIDE}, {factor} x {MIN_SIDE}")


class LearningStages(BaseModel):
    """How often Algorithm 1 is run, and with which settings each time: those of one level, without other stages."""

    if TYPE_CHECKING:  # at run time pydantic would put these fields before those of `LearningParams`
        image_size: int
        patch_size: int | None
        layers: tuple[LayerParams, ...]
        top: Top
        layerwise: bool
        orientations: Orientations
        iterations: int
        learning_rate: float
        canvas_iterations: int
        coarse_factor: int
        coarse_iterations: int

    @property
    def any_angle(self) -> bool:
        """Whether pictures are turned by any angle."""
        return ANY_ANGLE in self.orientations

    @property
    def coarse_stages(self) -> int:
        """How many stages come before the layers: 1 if a coarse level is learned."""
        return int(self.coarse_iterations > 0)

    @property
    def layer_stages(self) -> int:
        """How many times Algorithm 1 is run to learn the layers: once for each, or once."""
        return len(self.layers) if self.layerwise else 1

    @property
    def stages(self) -> int:
        """How many times Algorithm 1 is run: on the coarse level, for the layers, and on a canvas."""
        return self.coarse_stages + self.layer_stages + (self.canvas_iterations > 0)

    @property
    def last_iterations(self) -> str:
        """The name of the parameter that prolongs the last stage."""
        return "canvas_iterations" if self.canvas_iterations else "iterations"

    def of_stage(self, stage: int) -> Self:
        """Return the settings that a stage, counted from 0, learns with: of one level, without other stages."""
        if stage < self.coarse_stages:
            return self._of_coarse_level
        if stage >= self.coarse_stages + self.layer_stages and self.canvas_iterations:
            return self._of_canvas
        return self.model_copy(update=_ONE_LEVEL)

    def iterations_before(self, stage: int) -> int:
        """Return the iterations of all stages before `stage`, counted from 0, if none ends early."""
        return sum(self.of_stage(earlier).iterations for earlier in range(stage))

    @property
    def _of_coarse_level(self) -> Self:
        """These settings with one chain, which is enlarged to the canvas, and one picture, made smaller.

        Of an object with all chains and all pictures, and with a net that, enlarged, is that of the full size: the
        first layer's filters and stride are smaller by coarse_factor, so that all maps are as large.
        """
        if self.top == "object":
            first, *others = self.layers
            sides = {
                "kernel_size": first.kernel_size // self.coarse_factor,
                "stride": first.stride // self.coarse_factor,
            }
            return self.model_copy(
                update={
                    **_ONE_LEVEL,
                    "layerwise": False,
                    "image_size": self.image_size // self.coarse_factor,
                    "layers": (first.model_copy(update=sides), *others),
                    "iterations": self.coarse_iterations,
                    "learning_rate": OBJECT_COARSE_RATE * self.learning_rate,
                }
            )
        patch_size, any_angle = self.patch_size or self.image_size, self.any_angle
        picture, chain = coarse_sides(self.image_size, patch_size, any_angle, self.coarse_factor)
        return self.model_copy(
            update={
                **_ONE_CHAIN,
                "image_size": picture,
                "patch_size": None if chain == picture else chain,
                "iterations": self.coarse_iterations,
                "learning_rate": COARSE_RATE * self.learning_rate,
            }
        )

    @property
    def _canvas_side(self) -> int:
        return canvas_side(self.image_size, self.patch_size or self.image_size, self.any_angle)

    @property
    def _of_canvas(self) -> Self:
        """These settings with one chain and one picture, whole if it is not too large and not turned by any angle."""
        return self.model_copy(
            update={
                **_ONE_CHAIN,
                "patch_size": None if self._canvas_side == self.image_size else self._canvas_side,
                "iterations": self.canvas_iterations,
                "learning_rate": CANVAS_RATE * self.learning_rate,
            }
        )
