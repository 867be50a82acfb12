"""Which part of a canvas each model of a blend has: from masks to shares that sum to one, and to weights of top units.

At a border both nets see what is not theirs, and have but a part of their strength, so that structure and contrast
fade. Therefore masks change within no less than about a window, and where models share a place the weights of their
top units sum to more than one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.pictures.images import WHITE, read_covering
from core.schemas.geometry import round_up
from core.schemas.sampling import BlendedModel, ResolvedSampleParams

ROUNDING = 1e-4  # shares nearer than that to 0 or 1 are 0 or 1
BORDER_STD = 0.25  # of the largest window: standard deviation of the blur of the sharp masks
STRENGTH_POWER = 0.7  # weights of top units are shares to this power: they sum to 1.23 where two models share alike


@dataclass(frozen=True)
class Canvas:
    """A periodic canvas on which a picture of `height` x `width` pixels lies at the top left; sides (H, W) of it."""

    height: int
    width: int
    sides: tuple[int, int]

    @classmethod
    def of(cls, params: ResolvedSampleParams, stride: int, window: int) -> "Canvas":
        """Return the canvas for nets of this common stride and largest window.

        Unless the picture is to be tileable the canvas is larger by a window, so that what lies at its left edge does
        not meet what lies at its right one.
        """
        margin = 0 if params.tileable else window
        height, width = (round_up(side + margin, stride) for side in (params.height, params.width))
        if params.tileable:
            return cls(height, width, (height, width))
        return cls(params.height, params.width, (height, width))

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width

    def extend(self, picture: Tensor) -> Tensor:
        """Continue (..., height, width) by its edge pixels, half way to either side -> (..., H, W)."""
        rows, columns = (
            _nearest_lines(side, whole).to(picture.device)
            for side, whole in zip((self.height, self.width), self.sides, strict=True)
        )
        return picture[..., rows, :][..., columns]


def read_shares(
    blend: Sequence[BlendedModel], masks: Sequence[bytes | None], canvas: Canvas, window: int
) -> list[Tensor]:
    """Return each model's share of a canvas, the job's own first, as (1, 1, H, W); all sum to one at each pixel.

    masks: a picture file for each of `blend`, white where its model is drawn; None for everywhere. A model with a mask
    has `weight` of it, softened, and less where such shares sum to more than one. A model without one has `weight` of
    what that leaves. The job's own model has the rest.
    """
    zeros = torch.zeros(1, 1, *canvas.sides)
    shares = [zeros if mask is None else _read_mask(mask, canvas, window) for mask in masks]
    weights = [1.0 if one.weight is None else one.weight for one in blend]
    shares = [share * weight for share, weight in zip(shares, weights, strict=True)]
    total = sum(shares, start=zeros)
    shares = [_without_rounding(share / total.clamp_min(1)) for share in shares]
    left = _without_rounding(1 - sum(shares, start=zeros))
    weights = [weight if mask is None else 0.0 for weight, mask in zip(weights, masks, strict=True)]
    everywhere = max(sum(weights), 1.0)
    shares = [share + weight / everywhere * left for share, weight in zip(shares, weights, strict=True)]
    return [(1 - sum(weights) / everywhere) * left, *shares]


def _read_mask(content: bytes, canvas: Canvas, window: int) -> Tensor:
    """Read a mask (1, 1, H, W), 0 to 1, softened so that it changes within no less than about a window."""
    mask = read_covering(content, canvas.height, canvas.width, 1) / WHITE
    return _blur(canvas.extend(mask)[None], BORDER_STD * window)


def top_weights(share: Tensor) -> Tensor:
    """Return the weights of a model's top units for its shares, 0 to 1 both."""
    return share**STRENGTH_POWER


def _blur(mask: Tensor, std: float) -> Tensor:
    """Blur a periodic mask (1, 1, H, W) by a Gaussian that ends at three standard deviations."""
    reach = math.ceil(3 * std)
    offsets = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-((offsets / std) ** 2) / 2)
    blurred = mask
    for dim in (2, 3):
        blurred = sum(
            (weight * blurred.roll(offset, dim) for offset, weight in zip(offsets.tolist(), kernel, strict=True)),
            start=torch.zeros_like(blurred),
        )
    return _without_rounding(blurred / kernel.sum() ** 2)


def _without_rounding(share: Tensor) -> Tensor:
    return torch.where(share < ROUNDING, 0.0, torch.where(share > 1 - ROUNDING, 1.0, share))


def _nearest_lines(side: int, whole: int) -> Tensor:
    """Return the line of a picture of `side` lines that is nearest to each of `whole` periodic lines."""
    lines = torch.arange(whole)
    return torch.where(lines < side, lines, torch.where(lines < (side + whole + 1) // 2, side - 1, 0))
