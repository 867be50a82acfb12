"""The geometry of a net: sizes of its maps, what one position sees, what a boundary adds to a picture. No torch here.

`layers` run from the picture upwards. Sizes are sides in pixels of the picture, or in positions of a map.
"""

import math
from collections.abc import Sequence
from typing import Literal, Protocol

Boundary = Literal["valid", "torus", "padded"]

_HALOS_ADDED = {"valid": 0, "torus": 1, "padded": 2}  # on one side of the picture, and on both


class Layer(Protocol):
    """Filters of `kernel_size` x `kernel_size` positions of the map below, applied every `stride` positions."""

    @property
    def kernel_size(self) -> int: ...

    @property
    def stride(self) -> int: ...


def total_stride(layers: Sequence[Layer]) -> int:
    """Return the number of pixels between neighbouring positions of the top map."""
    return math.prod(layer.stride for layer in layers)


def receptive_field(layers: Sequence[Layer]) -> int:
    """Return the side, in pixels, of the window that one position of the top map sees."""
    return 1 + sum((layer.kernel_size - 1) * total_stride(layers[:index]) for index, layer in enumerate(layers))


def halo(layers: Sequence[Layer]) -> int:
    """Return the pixels to continue a periodic picture by, so that its top map has size / total_stride positions."""
    return max(receptive_field(layers) - total_stride(layers), 0)


def added_pixels(layers: Sequence[Layer], boundary: Boundary) -> int:
    """Return by how many pixels the filters see each side of a picture lengthened (`GenerativeConvNet.extend`).

    torus: one halo, after the picture. padded: a halo before and a halo after it. valid: none.
    """
    return _HALOS_ADDED[boundary] * halo(layers)


def map_size(layer: Layer, size: int) -> int:
    """Return the side of a layer's map if the map below has side `size`, at least the layer's kernel_size."""
    return (size - layer.kernel_size) // layer.stride + 1


def map_sizes(layers: Sequence[Layer], size: int) -> tuple[int, ...]:
    """Return the side of each layer's map for a picture of `size` pixels on the plane.

    Raises ValueError, naming the layer, if a filter is larger than the map below it.
    """
    sizes = []
    for index, layer in enumerate(layers):
        if layer.kernel_size > size:
            raise ValueError(
                f"layers[{index}].kernel_size is {layer.kernel_size}, larger than the {size} x {size} map "
                "that it is applied to"
            )
        size = map_size(layer, size)
        sizes.append(size)
    return tuple(sizes)


def top_side(layers: Sequence[Layer], size: int, boundary: Boundary) -> int:
    """Return the side of the top map of pictures of `size` pixels. Raises ValueError as `map_sizes` does."""
    return map_sizes(layers, size + added_pixels(layers, boundary))[-1]


def round_up(size: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `size`."""
    return -(-size // multiple) * multiple


def chain_side(layers: Sequence[Layer], size: int, boundary: Boundary) -> int:
    """Return the side of the chains that are compared with pictures of `size` pixels.

    On the torus it is `size` rounded up to a multiple of the net's stride, elsewhere `size`.
    """
    return round_up(size, total_stride(layers)) if boundary == "torus" else size
