"""How good a synthesized picture is, in numbers, beside the picture that it was learned from.

Pictures are float tensors of grey levels 0 to 255, one (C, H, W) or several of one size (N, C, H, W). Whatever is drawn
at random here, directions or patches, is drawn from a seed: the same pictures give the same numbers.
"""

import math
from dataclasses import dataclass

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

COPIED_PATCH = 16  # side in pixels: smaller ones recur in any texture, larger ones span what quilting lays at once
COPY_QUERIES = 256  # patches whose nearest is looked for

WINDOW = 32  # side in pixels of what is judged dead or alive
WINDOW_STEP = 8

FAINTEST = 1.0  # grey levels: what a ratio of contrasts divides by at least
TINY = 1e-6  # grey levels: what makes a ratio of nothing to nothing 1


@dataclass(frozen=True)
class Quality:
    """A synthesized picture beside the one it was learned from. Each is a ratio, 1 where they are on a par.

    distance: `distance_ratio`; below 1 is as alike as the texture is to itself.
    grid_peak: above 1 the net's stride shows; None where there is no stride, or the pictures are too small to see it.
    copying: `copying_score`; near 0 is copied.
    weakest_window: contrast of the weakest window, over the training picture's weakest; near 0 is dead.
    contrast: standard deviation, over the training picture's.
    seam: `seam_visibility` of the synthesized picture alone; above 1 the seams show when it is tiled.
    """

    distance: float
    grid_peak: float | None
    copying: float
    weakest_window: float
    contrast: float
    seam: float


def assess(synthesized: Tensor, picture: Tensor, stride: int = 1) -> Quality:
    """All of it: `synthesized` (C, H, W), or the mean over (N, C, H, W), beside the training picture (C, H, W)."""
    return Quality(
        distance=distance_ratio(synthesized, picture),
        grid_peak=relative_grid_peak(synthesized, picture, stride),
        copying=copying_score(synthesized, picture),
        weakest_window=weakest_window(synthesized) / max(weakest_window(picture), FAINTEST),
        contrast=contrast(synthesized) / max(contrast(picture), FAINTEST),
        seam=seam_visibility(synthesized),
    )


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
        windows = (_windows(F.avg_pool2d(side, scale), PATCH) for side in (a, b))
        patches = (every[_drawn(every, MAX_PATCHES, seed)].flatten(1) for every in windows)  # (P, C * 49)
        distances.append(_wasserstein(*(units @ side.T for side in patches)))
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

    A flat picture of the mean colour has 10 at most. The mean over several pictures, each with its own distance.
    """
    own = self_distance(picture)
    if own == 0:
        raise ValueError("the picture is flat: there is no texture to compare with")
    each = [sliced_wasserstein(one, picture) for one in _several(synthesized)]
    return sum(each) / len(each) / own


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


def relative_grid_peak(synthesized: Tensor, pictures: Tensor, stride: int) -> float | None:
    """`grid_peak` over the training pictures'; None where there is no stride, or too few periods of it to see."""
    shorter = min(*synthesized.shape[-2:], *pictures.shape[-2:])
    if stride < 2 or shorter < MIN_PERIODS * stride:
        return None
    return grid_peak(synthesized, stride) / grid_peak(pictures, stride)


def copying_score(synthesized: Tensor, picture: Tensor, *, seed: int = 0) -> float:
    """How far patches of `synthesized` lie from the nearest in `picture` (C, H, W), over how far its own lie.

    Near 0 where they are copied, about 1 where they are as new as another piece of the texture: a patch of `picture`
    itself looks for its nearest among those that it does not overlap. Distances are Euclidean, each patch is
    16 x 16 pixels with all channels. What is flat or blurred is near to everything: read `contrast` beside it.
    """
    picture = _several(picture)[0]
    if min(picture.shape[-2:]) < 3 * COPIED_PATCH:
        raise ValueError(f"the picture must have {3 * COPIED_PATCH} pixels a side, so that each patch has others")
    copied = _nearest_distance(_several(synthesized), picture, seed, overlapping=True)
    own = _nearest_distance(picture[None], picture, seed, overlapping=False)
    return (copied + TINY) / (own + TINY)


def weakest_window(pictures: Tensor) -> float:
    """Contrast of the weakest 32 x 32 window in grey levels: a dead patch has about 0. The mean over several."""
    pictures = _several(pictures).double()
    side = min(WINDOW, *pictures.shape[-2:])
    means, squares = (F.avg_pool2d(values, side, WINDOW_STEP) for values in (pictures, pictures.square()))
    variances = (squares - means.square()).clamp_min(0).mean(dim=1)
    return float(variances.amin(dim=(1, 2)).sqrt().mean())


def contrast(pictures: Tensor) -> float:
    """Standard deviation about each channel's mean, in grey levels. The mean over several."""
    pictures = _several(pictures)
    return float(pictures.var(dim=(2, 3), correction=0).mean(dim=1).sqrt().mean())


def seam_visibility(pictures: Tensor) -> float:
    """Jump across the seams of a tiled picture over the jump between neighbours inside it: 1 is invisible.

    Jumps are mean absolute differences; the mean of the vertical and the horizontal seam's, and over several pictures.
    """
    pictures = _several(pictures)
    ratios = []
    for axis in (2, 3):
        jumps = (pictures - pictures.roll(1, axis)).abs().mean(dim=(1, 5 - axis))  # (N, side): the seam's comes first
        ratios.append((jumps[:, 0] + TINY) / (jumps[:, 1:].mean(dim=1) + TINY))
    return float(torch.stack(ratios).mean())


def _nearest_distance(pictures: Tensor, source: Tensor, seed: int, *, overlapping: bool) -> float:
    """Mean distance of patches of `pictures` (N, C, H, W) to their nearest in `source` (C, H, W).

    Where not `overlapping`, `source` is that very picture, and no patch that overlaps the one sought for counts.
    """
    level = source.mean(dim=(1, 2), keepdim=True)  # near zero, the squares below keep their digits
    source, windows = source - level, _windows(pictures - level, COPIED_PATCH)
    corners = _drawn(windows, COPY_QUERIES, seed)
    patches = windows[corners]  # (Q, C, side, side)
    # ‖p - s‖² = ‖p‖² - 2 ⟨p, s⟩ + ‖s‖², of which ‖p‖² decides nothing.
    norms = F.conv2d(source.square()[None], torch.ones_like(patches[:1]))
    errors = (norms - 2 * F.conv2d(source[None], patches))[0]  # (Q, H', W')
    if not overlapping:
        rows, columns = (
            (torch.arange(size) - corner[:, None]).abs() < COPIED_PATCH
            for size, corner in zip(errors.shape[1:], corners[1:], strict=True)
        )
        errors[rows[:, :, None] & columns[:, None, :]] = math.inf
    nearest = torch.unravel_index(errors.flatten(1).argmin(dim=1), errors.shape[1:])
    found = _windows(source[None], COPIED_PATCH)[torch.zeros_like(nearest[0]), *nearest]
    return float((patches - found).flatten(1).norm(dim=1).mean())


def _several(pictures: Tensor) -> Tensor:
    """(C, H, W) or (N, C, H, W) -> (N, C, H, W), on the CPU, in float32."""
    pictures = pictures.detach().cpu().float()
    return pictures if pictures.ndim == 4 else pictures[None]


def _windows(pictures: Tensor, side: int) -> Tensor:
    """(N, C, H, W) -> every patch, by its picture and its corner: (N, H', W', C, side, side)."""
    return pictures.unfold(-2, side, 1).unfold(-2, side, 1).permute(0, 2, 3, 1, 4, 5)


def _drawn(windows: Tensor, limit: int, seed: int) -> tuple[Tensor, ...]:
    """Picture, row and column of every patch in `windows`, or of `limit` of them drawn at random."""
    positions = windows.shape[:3]
    chosen = torch.randperm(positions.numel(), generator=torch.Generator().manual_seed(seed))[:limit]
    return torch.unravel_index(chosen, positions)


def _wasserstein(a: Tensor, b: Tensor) -> float:
    """W_1 = ∫ |Q_a(p) - Q_b(p)| dp between the rows of a (K, P) and of b (K, P'), Q the quantiles; mean over rows."""
    # numpy sorts without the indices that torch also keeps: three times as fast.
    a, b = (torch.from_numpy(np.sort(side.numpy(), axis=1)) for side in (a, b))
    count = max(a.shape[1], b.shape[1])
    levels = 2 * torch.arange(count) + 1  # over 2 * count: the middles of `count` equal steps
    a, b = (side[:, levels * side.shape[1] // (2 * count)] for side in (a, b))
    return float((a - b).abs().mean())
