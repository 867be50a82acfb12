"""Structure beyond patches: the texture statistics of Portilla and Simoncelli (2000), compared picture by picture.

They hold what a distance of small patches cannot see: how energy at different orientations and scales goes together,
and how it repeats. Pictures are float tensors of grey levels, 0 to 255: (C, H, W), or several (N, C, H, W).
"""

import math
import warnings
from itertools import combinations

import torch
from torch import Tensor

ORIENTATIONS = 4
SCALES = {128: 4, 64: 3, 32: 2}  # of the steerable pyramid, for pieces of at least so many pixels
AUTOCORRELATION_WIDTH = 7

SIDE_STEP = 16  # pieces are cut to a multiple of it, as the pyramid needs
MIN_SIDE = 48  # pixels: the smallest piece that can be compared
MAX_SIDE = 256  # pixels: larger pieces take minutes and are no more telling
MIN_WITHIN = 0.05  # standard deviations: the least that is divided by, for pictures whose pieces are all equal
PIECES = 4  # of the training picture, along each side
CORNERS = 2  # the same, if it is compared in several views
SYNTHESIZED_PIECES = 3
LIMIT = 20.0  # standard deviations: a larger difference of one statistic counts as this
FULL = 255.0


def structure_ratio(synthesized: Tensor, picture: Tensor) -> float:
    """Return how far the structure of synthesized pictures is from that of `picture`: about 1 if it is the same.

    picture (C, H, W); or the views of it that were learned, such as turned ones, (V, C, H, W): pieces are then those of
    all views, and differ from each other as much as the views do.

    The distance of pieces of the synthesized pictures to pieces of `picture`, over the mean distance of disjoint
    pieces of `picture` from each other. The distance is the root mean square difference of the Portilla-Simoncelli
    statistics of the brightness, each divided by its standard deviation over pieces of `picture`. Pieces are as large
    as the synthesized pictures if `picture` is a quarter larger, else half as large as `picture`; at most MAX_SIDE.
    synthesized (N, C, H, W) or (C, H, W). Raises ValueError if pieces would be smaller than MIN_SIDE pixels.
    """
    synthesized = brightness(synthesized if synthesized.ndim == 4 else synthesized[None])
    views = brightness(picture if picture.ndim == 4 else picture[None])
    side = _piece_side(synthesized, views)
    if side < MIN_SIDE:
        raise ValueError(f"pieces of {side} pixels are too small to compare: larger pictures are needed")
    along = PIECES if len(views) == 1 else CORNERS
    own = _statistics(_pieces(views, side, along))
    made = _statistics(_pieces(synthesized, side, SYNTHESIZED_PIECES))
    scale = own.std(dim=0) + 1e-3 * own.abs().mean(dim=0) + 1e-6
    mean = own.mean(dim=0)
    own, made = (((one - mean) / scale).clamp(-LIMIT, LIMIT) for one in (own, made))
    of_view = [0, along - 1, along * (along - 1), along**2 - 1]  # the corners, which overlap least
    corners = own.view(len(views), along**2, -1)[:, of_view].flatten(0, 1)
    within = [_distance(a, b) for a, b in combinations(corners, 2)]
    between = [_distance(a, b) for a in made for b in corners]
    return (sum(between) / len(between)) / max(sum(within) / len(within), MIN_WITHIN)


def is_comparable(synthesized: Tensor, picture: Tensor) -> bool:
    """Return True if pictures (…, H, W) are large enough for `structure_ratio`, however their sizes differ."""
    shortest: int = min(*synthesized.shape[-2:], *picture.shape[-2:])
    return shortest // 2 >= MIN_SIDE


def brightness(pictures: Tensor) -> Tensor:
    """Return the luma of pictures (N, C, H, W) rounded to grey levels -> (N, 1, H, W) (ITU-R BT.601)."""
    if pictures.shape[1] == 1:
        return pictures.round().clamp(0, FULL)
    weights = torch.tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)
    return (pictures.round().clamp(0, FULL) * weights).sum(dim=1, keepdim=True).round()


def _piece_side(synthesized: Tensor, picture: Tensor) -> int:
    """Return the side of the compared pieces, in pixels."""
    side: int = min(*synthesized.shape[-2:], MAX_SIDE)
    whole: int = min(picture.shape[-2:])
    side -= side % SIDE_STEP
    if whole >= 1.25 * side:
        return side
    side = min(side, whole // 2)
    return side - side % SIDE_STEP


def _pieces(pictures: Tensor, side: int, along: int) -> Tensor:
    """Cut `along` x `along` pieces, evenly spaced, out of each picture (N, 1, H, W) -> (N * pieces, 1, side, side)."""
    height, width = pictures.shape[-2:]
    tops, lefts = (_offsets(whole, side, along) for whole in (height, width))
    cut = [pictures[..., top : top + side, left : left + side] for top in tops for left in lefts]
    return torch.stack(cut, dim=1).flatten(0, 1)


def _offsets(whole: int, side: int, along: int) -> list[int]:
    if whole == side:
        return [0]
    return [math.floor((whole - side) * index / (along - 1)) for index in range(along)]


def _statistics(pieces: Tensor) -> Tensor:
    """Return the Portilla-Simoncelli statistics of pieces (N, 1, S, S) -> (N, statistics)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of older names of its own
        from plenoptic.models import PortillaSimoncelli  # imports much; most jobs do without it

        side = pieces.shape[-1]
        scales = next(number for least, number in SCALES.items() if side >= least)
        model = PortillaSimoncelli((side, side), scales, ORIENTATIONS, AUTOCORRELATION_WIDTH).eval()
        with torch.no_grad():
            found = [model(piece[None] / FULL)[:, 0] for piece in pieces]
    return torch.nan_to_num(torch.cat(found), posinf=0.0, neginf=0.0)  # of flat pieces, which have no shape


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean().sqrt())
