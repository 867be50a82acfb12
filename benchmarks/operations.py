"""How many floating-point operations the equations need: a multiplication and an addition each count.

One multiplication and one addition for each weight and each position of its filter, in a pass up or down.
"""

import operator
from itertools import accumulate

from core.schemas.geometry import Boundary, added_pixels, chain_side
from core.schemas.learned import boundary_of_pictures
from core.schemas.learning import LearningParams
from core.theory.model import Architecture


def of_step(architecture: Architecture, size: int, boundary: Boundary = "valid") -> int:
    """Return the operations of B of one picture of `size` pixels: a pass up and one down."""
    return 2 * sum(_of_layers(architecture, size, boundary))


def of_gradient(architecture: Architecture, size: int, boundary: Boundary = "valid") -> int:
    """Return the operations of ∂f/∂w of one picture.

    A pass up, one down as far as the first layer's responses, and as many again as the pass up for the weights.
    """
    layers = _of_layers(architecture, size, boundary)
    return 2 * sum(layers) + sum(layers[1:])


def of_iteration(architecture: Architecture, params: LearningParams, chains: int, pictures: int) -> int:
    """Return the operations of an iteration of Algorithm 1 with so many chains and observed pictures."""
    size, boundary = params.side, params.boundary
    steps = params.langevin_steps * of_step(architecture, size, boundary)
    of_pictures = of_gradient(architecture, size, boundary_of_pictures(boundary))
    return chains * (steps + of_gradient(architecture, size, boundary)) + pictures * of_pictures


def _of_layers(architecture: Architecture, size: int, boundary: Boundary) -> list[int]:
    """Return the operations of a pass through each layer. On the torus a map has one unit for each stride."""
    if boundary == "torus":
        strides = accumulate((layer.stride for layer in architecture.layers), operator.mul)
        sides = [chain_side(architecture.layers, size, boundary) // stride for stride in strides]
    else:
        sides = list(architecture.map_sizes(size + added_pixels(architecture.layers, boundary)))
    channels = (architecture.channels, *(layer.filters for layer in architecture.layers))
    return [
        2 * layer.filters * below * layer.kernel_size**2 * side**2
        for layer, below, side in zip(architecture.layers, channels[:-1], sides, strict=True)
    ]
