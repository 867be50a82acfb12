"""How good a synthesized picture is, in numbers, beside the picture that it was learned from.

Pictures are float tensors of grey levels 0 to 255, one (C, H, W) or several of one size (N, C, H, W). Whatever is drawn
at random here, directions or patches, is drawn from a seed: the same pictures give the same numbers.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 7  # side of the patches that are compared, in pixels
SCALES = (1, 2, 4)  # pixels averaged into one, along each axis
DIRECTIONS = 256
MAX_PATCHES = 16384  # of either side, at each scale; more are sampled
FLAT_RATIO = 10.0  # what a flat picture's distance ratio is at most

PEAK_REACH = 6  # bins around a peak that its background is taken from
HANN_REACH = 1  # bins that a Hann window spreads a line over
MIN_PERIODS = 4  # of the grid in a segment, so that background is left between two peaks


def sliced_wasserstein(a: Tensor, b: Tensor, *, directions: int = DIRECTIONS, seed: int = 0) -> float:
    """Sliced Wasserstein distance between the 7 x 7 patches of `a` and of `b`, in grey levels, averaged over scales.

    SW(a, b) = mean over unit vectors u of W_1(⟨u, patches of a⟩, ⟨u, patches of b⟩), u in R^(C * 49).
    Rabin, Peyré, Delon, Bernot 2012, with patches at several scales as in Karras, Aila, Laine, Lehtinen 2018 (who also
    level each channel's mean and contrast: here both count). Scales at which no patch fits are left out.
    """
    generator = torch.Generator().manual_seed(seed)
    a, b = _several(a), _several(b)
    units = F.normalize(torch.randn(directions, a.shape[1] * PATCH**2, generator=generator), dim=1)
    distances = []
    for scale in SCALES:
        if min(*a.shape[-2:], *b.shape[-2:]) < PATCH * scale:
            break
        sides = (_patches(F.avg_pool2d(side, scale), PATCH, MAX_PATCHES, seed) for side in (a, b))
        distances.append(_wasserstein(*(units @ patches.T for patches in sides)))
    if not distances:
        raise ValueError(f"both pictures must hold a patch of {PATCH} x {PATCH} pixels")
    return sum(distances) / len(distances)


def self_distance(picture: Tensor) -> float:
    """What `picture` (C, H, W) differs from itself by: the distance between its left and its right half.

    Or a tenth of a flat picture's distance to it, where that is larger: two halves may be alike to a hair.
    """
    middle = picture.shape[-1] // 2
    halves = sliced_wasserstein(picture[..., :middle], picture[..., -middle:])
    flat = picture.mean(dim=(-2, -1), keepdim=True).expand_as(picture)
    return max(halves, sliced_wasserstein(flat, picture) / FLAT_RATIO)


def distance_ratio(synthesized: Tensor, picture: Tensor) -> float:
    """Distance of `synthesized` to `picture` over the latter's to itself: below 1 as alike as the texture is to itself.

    A flat picture of the mean colour has 10 at most.
    """
    own = self_distance(picture)
    if own == 0:
        raise ValueError("the picture is flat: there is no texture to compare with")
    return sliced_wasserstein(synthesized, picture) / own


def grid_peak(pictures: Tensor, stride: int) -> float:
    """Power at the periods that a grid of `stride` pixels has, over the power around them: about 1 where there is none.

    The mean of P(i / stride, j / stride) / background over i, j = 0..stride-1 but both 0, in cycles a pixel. P is the
    power spectrum averaged over channels and Hann windowed segments half as wide as the picture, overlapping by half
    (Welch 1967). A segment's side is a multiple of `stride`, so that each line falls on a bin.
    """
    if stride < 2:
        raise ValueError(f"stride is {stride}: a grid has a period of two pixels at least")
    pictures = _several(pictures)
    shorter = min(pictures.shape[-2:])
    periods = max(shorter // 2 // stride, MIN_PERIODS)
    side = periods * stride
    if side > shorter:
        raise ValueError(f"the picture's {shorter} pixels hold fewer than {MIN_PERIODS} periods of {stride} pixels")
    segments = pictures.unfold(-2, side, side // 2).unfold(-2, side, side // 2)  # (N, C, rows, columns, side, side)
    segments = segments - segments.mean(dim=(-2, -1), keepdim=True)
    hann = torch.hann_window(side)
    power = torch.fft.fft2(segments * hann * hann[:, None]).abs().square().mean(dim=(0, 1, 2, 3))

    to_line = (torch.arange(side) + periods // 2) % periods - periods // 2  # bins from the nearest line of the grid
    off_the_lines = (to_line.abs() > HANN_REACH)[:, None] | (to_line.abs() > HANN_REACH)
    reach = torch.arange(-PEAK_REACH, PEAK_REACH + 1)
    ratios = []
    for i in range(stride):
        for j in range(stride):
            if i == j == 0:
                continue
            rows, columns = (i * periods + reach) % side, (j * periods + reach) % side
            around, background = power[rows][:, columns], off_the_lines[rows][:, columns]
            ratios.append(power[i * periods, j * periods] / around[background].mean())
    return float(torch.stack(ratios).mean())


def _several(pictures: Tensor) -> Tensor:
    """(C, H, W) or (N, C, H, W) -> (N, C, H, W), on the CPU, in float32."""
    pictures = pictures.detach().cpu().float()
    return pictures if pictures.ndim == 4 else pictures[None]


def _patches(pictures: Tensor, side: int, limit: int, seed: int) -> Tensor:
    """(N, C, H, W) -> its patches (P, C * side * side), every one or `limit` of them drawn at random."""
    windows = pictures.unfold(-2, side, 1).unfold(-2, side, 1).permute(0, 2, 3, 1, 4, 5)  # (N, H', W', C, side, side)
    count = windows.shape[:3].numel()
    chosen = torch.arange(count)
    if count > limit:
        chosen = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:limit]
    return windows[torch.unravel_index(chosen, windows.shape[:3])].flatten(1)


def _wasserstein(a: Tensor, b: Tensor) -> float:
    """W_1 = ∫ |Q_a(p) - Q_b(p)| dp between the rows of a (K, P) and of b (K, P'), Q the quantiles; mean over rows."""
    # numpy sorts without the indices that torch also keeps: three times as fast.
    a, b = (torch.from_numpy(np.sort(side.numpy(), axis=1)) for side in (a, b))
    count = max(a.shape[1], b.shape[1])
    levels = 2 * torch.arange(count) + 1  # over 2 * count: the middles of `count` equal steps
    a, b = (side[:, levels * side.shape[1] // (2 * count)] for side in (a, b))
    return float((a - b).abs().mean())
