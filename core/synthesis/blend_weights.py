"""How much of each pixel is drawn by each model of a blend: from masks to weights that sum to one.

Where several models draw a place, each has but a part of its strength there, and structure and contrast fade. Therefore
their strengths sum to more than one, and masks are softened but little unless more is asked for: by a tenth of a
window. Then elements end at a border.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.pictures.images import BLACK, WHITE, read_covering
from core.schemas.blending import DEFAULT_SOFTNESS, BlendedModel
from core.schemas.geometry import round_up
from core.schemas.sampling import ResolvedSampleParams

ROUNDING = 1e-4  # weights nearer than that to 0 or 1 are 0 or 1
STRENGTH_POWER = 0.7  # of a pixel's weight, for its model's B there: two halves sum to 1.23
BLURRED_PIXELS = 1 << 15  # at once: they stay in a core's cache while all taps of the blur are added up


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

    def widened(self, margin: int) -> "Canvas":
        """Return a canvas with a margin of at least so many pixels beside the picture; a tileable one has none."""
        if self.size == self.sides:
            return self
        height, width = (max(whole, side + margin) for side, whole in zip(self.size, self.sides, strict=True))
        return replace(self, sides=(height, width))

    def crop(self, picture: Tensor) -> Tensor:
        """Return (..., H, W) of (..., H', W') of a widened canvas, without the middle of its margin."""
        for dim, side, whole in zip((-2, -1), self.size, self.sides, strict=True):
            before = (side + whole + 1) // 2
            after = picture.shape[dim] - (whole - before)
            picture = torch.cat([picture.narrow(dim, 0, before), picture.narrow(dim, after, whole - before)], dim)
        return picture

    def extend(self, picture: Tensor) -> Tensor:
        """Continue (..., height, width) by its edge pixels, half way to either side -> (..., H, W)."""
        rows, columns = (
            _nearest_lines(side, whole).to(picture.device)
            for side, whole in zip((self.height, self.width), self.sides, strict=True)
        )
        return picture[..., rows, :][..., columns]


def read_weights(
    blend: Sequence[BlendedModel],
    masks: Sequence[bytes | None],
    canvas: Canvas,
    window: int,
    check_stop: Callable[[], None] = lambda: None,
) -> list[Tensor]:
    """Return each model's weights on a canvas, the job's own first, as (1, 1, H, W); all sum to one, up to ROUNDING.

    masks: a picture file for each of `blend`, white where its model is drawn; None for everywhere. A model with a mask
    has `weight` of it, softened, and less where such weights sum to more than one. A model without one has `weight` of
    what that leaves. The job's own model has the rest.
    `check_stop` is called again and again while masks are softened, which takes seconds on a large canvas; an exception
    that it raises ends the work.
    """
    zeros = torch.zeros(1, 1, *canvas.sides)
    stds = [window * (one.softness or DEFAULT_SOFTNESS) for one in blend]
    weights = [
        zeros if mask is None else _read_mask(mask, canvas, std, check_stop)
        for mask, std in zip(masks, stds, strict=True)
    ]
    factors = [1.0 if one.weight is None else one.weight for one in blend]
    weights = [weight * factor for weight, factor in zip(weights, factors, strict=True)]
    total = sum(weights, start=zeros)
    weights = [_without_rounding(weight / total.clamp_min(1)) for weight in weights]
    left = _without_rounding(1 - sum(weights, start=zeros))
    factors = [factor if mask is None else 0.0 for factor, mask in zip(factors, masks, strict=True)]
    everywhere = max(sum(factors), 1.0)
    shares = [factor / everywhere for factor in factors]
    weights = [_without_rounding(weight + share * left) for weight, share in zip(weights, shares, strict=True)]
    return [_without_rounding(1 - sum(weights, start=zeros)), *weights]


def _read_mask(content: bytes, canvas: Canvas, std: float, check_stop: Callable[[], None]) -> Tensor:
    """Read a mask (1, 1, H, W), 0 to 1, softened by a blur of this standard deviation.

    Transparent parts are black: nothing is painted there. Unless the canvas is tileable, the blur sees the mask
    continued by its edge pixels, never its opposite side.
    """
    mask = read_covering(content, canvas.height, canvas.width, 1, ground=BLACK) / WHITE
    wide = canvas.widened(2 * _reach(std))
    return canvas.crop(_blur(wide.extend(mask)[None], std, check_stop))


def strengths(weight: Tensor) -> Tensor:
    """Return the factors on a model's B for its weights at pixels, 0 to 1.

    A weight times its factor is the weight to the power 0.7. Where the model has no part the factor is 1: its texture
    goes on there, unseen.
    """
    return torch.where(weight > 0, weight, 1.0) ** (STRENGTH_POWER - 1)


def _blur(mask: Tensor, std: float, check_stop: Callable[[], None]) -> Tensor:
    """Blur a periodic mask (1, 1, H, W) by a Gaussian that ends at three standard deviations."""
    reach = _reach(std)
    offsets = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-((offsets / std) ** 2) / 2)
    taps = list(zip(offsets.tolist(), kernel, strict=True))
    for dim, across in ((2, 3), (3, 2)):
        lines = max(1, BLURRED_PIXELS // mask.shape[dim])
        blurred = torch.empty_like(mask)
        for before, after in zip(torch.split(mask, lines, across), torch.split(blurred, lines, across), strict=True):
            check_stop()
            part = before.contiguous()
            after.copy_(sum((tap * part.roll(offset, dim) for offset, tap in taps), start=torch.zeros_like(part)))
        mask = blurred
    return _without_rounding(mask / kernel.sum() ** 2)


def _reach(std: float) -> int:
    return math.ceil(3 * std)


def _without_rounding(weight: Tensor) -> Tensor:
    return torch.where(weight < ROUNDING, 0.0, torch.where(weight > 1 - ROUNDING, 1.0, weight))


def _nearest_lines(side: int, whole: int) -> Tensor:
    """Return the line of a picture of `side` lines that is nearest to each of `whole` periodic lines."""
    lines = torch.arange(whole)
    return torch.where(lines < side, lines, torch.where(lines < (side + whole + 1) // 2, side - 1, 0))
