"""Known and unknown pixels of training pictures: an unknown one is NaN in every channel, and is not learned from.

Whatever crops, turns, centres or stretches a picture, or adds noise to it, keeps it NaN.
"""

import torch
from torch import Tensor
from torch.nn import functional

MAX_SHIFTS = 64
SHIFTS = (0.7548776662466927, 0.5698402909980532)  # shares of the sides; their multiples fill the square evenly


class NothingToLearn(ValueError):
    """The pictures have no contrast; or transparent pixels leave nothing, or nothing that a unit sees whole."""


def is_partial(images: Tensor) -> bool:
    """Return True if any pixel is unknown."""
    return bool(images.isnan().any())


def known_colours(picture: Tensor) -> Tensor:
    """Return the colours of a picture's known pixels. (C, H, W) -> (C, pixels)."""
    colours, unknown = picture.flatten(1), picture[0].isnan().flatten()
    return colours[:, ~unknown] if unknown.any() else colours


def seeing_units(unknown: Tensor, window: int, stride: int) -> Tensor:
    """Return which units see known pixels alone: their windows of `window` pixels lie every `stride` pixels.

    unknown: bool (N, 1, H, W) -> bool (N, 1, H', W').
    """
    rows = functional.max_pool2d(unknown.float(), (window, 1), (stride, 1))
    return functional.max_pool2d(rows, (1, window), (1, stride)) == 0


def filled(images: Tensor) -> Tensor:
    """Return pictures (N, C, H, W) whose unknown pixels are copied from elsewhere in the same picture, in whole pieces.

    Statistics of patches stay nearly those of the known part. A picture of which nothing is known becomes zero.
    """
    height, width = images.shape[-2:]
    for index in range(1, MAX_SHIFTS + 1):
        unknown = images.isnan()
        if not unknown.any():
            return images
        down, right = (int(index * share % 1 * side) for share, side in zip(SHIFTS, (height, width), strict=True))
        images = torch.where(unknown, images.roll((down, right), dims=(-2, -1)), images)
    return images.nan_to_num(0.0)
