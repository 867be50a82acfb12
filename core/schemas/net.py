"""Settings of a net (eq. 1): its layers, its top, and how large it may be."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.schemas.geometry import Boundary, added_pixels, map_size, total_stride

Top = Literal["convolutional", "object", "category"]

COLOUR_CHANNELS = 3
MAX_WEIGHTS = 2**26  # of a net: 256 MiB; Adam and the kept states take several times as much again
MAX_UNITS = 2**28  # in a net's maps of one picture: 1 GiB


class LayerParams(BaseModel):
    """One layer of the net (eq. 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    filters: Annotated[int, Field(ge=1, le=512, description="Number of filters.")]
    kernel_size: Annotated[int, Field(ge=1, le=63, description="Side of each filter, in positions of the map below.")]
    stride: Annotated[
        int, Field(ge=1, le=16, description="Positions of the map below between neighbouring responses.")
    ] = 1


def check_net(layers: Sequence[LayerParams], size: int, boundary: Boundary = "valid") -> None:
    """Check that a net fits colour pictures of `size` pixels along each side, and memory. Raises ValueError.

    boundary: of what it adds to each side, the filters may see, too.
    """
    side, below, weights, units = size + added_pixels(layers, boundary), COLOUR_CHANNELS, 0, 0
    for index, layer in enumerate(layers):
        stride = total_stride(layers[: index + 1])
        if layer.kernel_size > side:
            raise ValueError(
                f"layers[{index}].kernel_size is {layer.kernel_size}, but the map it is applied to is only "
                f"{side} x {side} (of pictures of {size} x {size} pixels)"
            )
        if stride > size:
            raise ValueError(
                f"layers[{index}].stride leaves nothing: the strides multiply to {stride}, pictures have only "
                f"{size} pixels"
            )
        side = map_size(layer, side)
        weights += layer.filters * below * layer.kernel_size**2
        units += layer.filters * side**2
        below = layer.filters
    if weights > MAX_WEIGHTS:
        raise ValueError(
            f"have {weights:,} weights, but at most {MAX_WEIGHTS:,} are allowed: use fewer or smaller filters"
        )
    if units > MAX_UNITS:
        raise ValueError(
            f"have maps of {units:,} units for a picture of {size} pixels, but at most {MAX_UNITS:,} are allowed: "
            "use fewer filters, larger strides or smaller pictures"
        )
