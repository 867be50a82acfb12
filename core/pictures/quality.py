"""Measures of how well a synthesized picture matches the picture that it was learned from.

Pictures are float tensors of grey levels, 0 to 255: one (C, H, W) or several of one size (N, C, H, W). Random
directions and patches are drawn from a seed, so the same pictures always have the same measures.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.pictures.spectrum import power_spectrum, spectrum_deviation
from core.pictures.structure import is_comparable, structure_ratio

PATCH = 7  # side of the compared patches, in pixels
SCALES = (1, 2, 4)  # pixels averaged into one, along each axis
DIRECTIONS = 256
MAX_PATCHES = 16384  # of each picture, at each scale; a random sample of more
MAX_FLAT_RATIO = 10.0  # largest `distance_ratio` of a flat picture

PEAK_REACH = 6  # bins around a peak that count as its background
HANN_REACH = 1  # bins that a Hann window spreads a line over
MIN_PERIODS = 4  # of the grid in a segment, so that background lies between two peaks

COPIED_PATCH = 16  # side in pixels: smaller ones recur in any texture, larger ones are wider than a quilting block
COPY_QUERIES = 256  # patches whose nearest neighbour is searched

WINDOW = 32  # side in pixels of the windows whose contrast is measured
WINDOW_STEP = 8

MIN_CONTRAST = 1.0  # grey levels: the least that a ratio of contrasts is divided by
EPSILON = 1e-6  # grey levels, added to both sides of a ratio: 0 / 0 becomes 1


@dataclass(frozen=True)
class Quality:
    """A synthesized picture compared with the one it was learned from: ratios, 1 if the two are alike.

    structure: `core.pictures.structure.structure_ratio`; None if the pictures are too small for it.
    spectrum: `core.pictures.spectrum.spectrum_deviation`.
    distance: `distance_ratio`; below 1 the picture is as similar to the texture as the texture is to itself.
    grid_peak: `relative_grid_peak`; above 1 the net's stride shows; None if it cannot be measured.
    copying: `copying_score`; near 0 the picture is a copy.
    weakest_window: `weakest_window` over the training picture's; near 0 a part of the picture is flat.
    contrast: `contrast` over the training picture's.
    seam: `seam_visibility` of the synthesized picture; above 1 the seams show when it is tiled.
    """

    structure: float | None
    spectrum: float
    distance: float
    grid_peak: float | None
    copying: float
    weakest_window: float
    contrast: float
    seam: float


def assess(synthesized: Tensor, picture: Tensor, stride: int = 1) -> Quality:
    """Measure `synthesized` (C, H, W), or the mean over (N, C, H, W), against the training picture (C, H, W)."""
    return Quality(
        structure=structure_ratio(synthesized, picture) if is_comparable(synthesized, picture) else None,
        spectrum=spectrum_deviation(synthesized, picture),
        distance=distance_ratio(synthesized, picture),
        grid_peak=relative_grid_peak(synthesized, picture, stride),
        copying=copying_score(synthesized, picture),
        weakest_window=weakest_window(synthesized) / max(weakest_window(picture), MIN_CONTRAST),
        contrast=contrast(synthesized) / max(contrast(picture), MIN_CONTRAST),
        seam=seam_visibility(synthesized),
    )


def sliced_wasserstein(a: Tensor, b: Tensor, *, directions: int = DIRECTIONS, seed: int = 0) -> float:
    """Return the sliced Wasserstein distance of the 7 x 7 patches of `a` and `b`, in grey levels, averaged over scales.

    SW(a, b) = mean over unit vectors u of W_1(⟨u, patches of a⟩, ⟨u, patches of b⟩), u in R^(C * 49).
    Rabin, Peyré, Delon, Bernot 2012, with patches at several scales as in Karras, Aila, Laine, Lehtinen 2018 (who also
    normalize each channel's mean and contrast: here both count). Scales at which no patch fits are left out.
    Raises ValueError if no scale is left.
    """
    generator = torch.Generator().manual_seed(seed)
    a, b = _as_batch(a), _as_batch(b)
    units = F.normalize(torch.randn(directions, a.shape[1] * PATCH**2, generator=generator), dim=1)
    distances = []
    for scale in SCALES:
        if min(*a.shape[-2:], *b.shape[-2:]) < PATCH * scale:
            break
        windows = (_windows(F.avg_pool2d(side, scale), PATCH) for side in (a, b))
        patches = (found[_sample_patches(found, MAX_PATCHES, seed)].flatten(1) for found in windows)  # (P, C * 49)
        distances.append(_wasserstein(*(units @ side.T for side in patches)))
    if not distances:
        raise ValueError(f"both pictures must hold a patch of {PATCH} x {PATCH} pixels")
    return sum(distances) / len(distances)


def self_distance(picture: Tensor) -> float:
    """Return the distance between the left and the right half of `picture` (C, H, W).

    At least a tenth of a flat picture's distance to it, because two halves can be almost identical.
    """
    middle = picture.shape[-1] // 2
    halves = sliced_wasserstein(picture[..., :middle], picture[..., -middle:])
    flat = picture.mean(dim=(-2, -1), keepdim=True).expand_as(picture)
    return max(halves, sliced_wasserstein(flat, picture) / MAX_FLAT_RATIO)


def distance_ratio(synthesized: Tensor, picture: Tensor) -> float:
    """Return the distance of `synthesized` to `picture` over `self_distance(picture)`; the mean over several pictures.

    Below 1 they are as similar as the texture is to itself. A flat picture of the mean colour has at most 10.
    Raises ValueError if `picture` is flat.
    """
    own = self_distance(picture)
    if own == 0:
        raise ValueError("the picture is flat: there is no texture to compare with")
    distances = [sliced_wasserstein(one, picture) for one in _as_batch(synthesized)]
    return sum(distances) / len(distances) / own


def grid_peak(pictures: Tensor, stride: int) -> float:
    """Return the power at the periods of a grid of `stride` pixels over the power around them: about 1 without a grid.

    The mean of P(i / stride, j / stride) / background over i, j = 0..stride-1 but both 0, in cycles a pixel. P is the
    power spectrum averaged over channels and Hann windowed segments half as wide as the picture, overlapping by half
    (Welch 1967). A segment's side is a multiple of `stride`, so that each line falls on a bin.
    Raises ValueError if the stride is below 2 or the picture too small.
    """
    if stride < 2:
        raise ValueError(f"stride is {stride}: a grid has a period of two pixels at least")
    pictures = _as_batch(pictures)
    shorter = min(pictures.shape[-2:])
    periods = max(shorter // 2 // stride, MIN_PERIODS)
    side = periods * stride
    if side > shorter:
        raise ValueError(f"the picture's {shorter} pixels hold fewer than {MIN_PERIODS} periods of {stride} pixels")
    power = power_spectrum(pictures, side)

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
    """Return `grid_peak` over the training pictures'; None without a stride, or with too few periods to measure it."""
    shorter = min(*synthesized.shape[-2:], *pictures.shape[-2:])
    if stride < 2 or shorter < MIN_PERIODS * stride:
        return None
    return grid_peak(synthesized, stride) / grid_peak(pictures, stride)


def copying_score(synthesized: Tensor, picture: Tensor, *, seed: int = 0) -> float:
    """Return the distance of patches of `synthesized` to their nearest in `picture` (C, H, W), relative to its own.

    Its own is the distance of patches of `picture` to their nearest among those that they do not overlap. Near 0 the
    patches are copies, about 1 they are as new as another piece of the texture. Distances are Euclidean, patches are
    16 x 16 pixels with all channels. Flat or blurred patches are near to everything: compare `contrast` as well.
    Raises ValueError if `picture` is too small.
    """
    picture = _as_batch(picture)[0]
    if min(picture.shape[-2:]) < 3 * COPIED_PATCH:
        raise ValueError(f"the picture must have {3 * COPIED_PATCH} pixels a side, so that each patch has others")
    copied = _nearest_distance(_as_batch(synthesized), picture, seed, overlapping=True)
    own = _nearest_distance(picture[None], picture, seed, overlapping=False)
    return (copied + EPSILON) / (own + EPSILON)


def weakest_window(pictures: Tensor) -> float:
    """Return the lowest contrast of a 32 x 32 window, in grey levels: about 0 if a part is flat. Mean over several."""
    pictures = _as_batch(pictures).double()
    side = min(WINDOW, *pictures.shape[-2:])
    means, squares = (F.avg_pool2d(values, side, WINDOW_STEP) for values in (pictures, pictures.square()))
    variances = (squares - means.square()).clamp_min(0).mean(dim=1)
    return float(variances.amin(dim=(1, 2)).sqrt().mean())


def contrast(pictures: Tensor) -> float:
    """Return the standard deviation about each channel's mean, in grey levels. Mean over several."""
    pictures = _as_batch(pictures)
    return float(pictures.var(dim=(2, 3), correction=0).mean(dim=1).sqrt().mean())


def seam_visibility(pictures: Tensor) -> float:
    """Return the jump across the seams of a tiled picture over the jump between neighbours inside it: 1 is invisible.

    Jumps are mean absolute differences. Mean of the vertical and the horizontal seam, and over several pictures.
    """
    pictures = _as_batch(pictures)
    ratios = []
    for axis in (2, 3):
        jumps = (pictures - pictures.roll(1, axis)).abs().mean(dim=(1, 5 - axis))  # (N, side): the seam is the first
        ratios.append((jumps[:, 0] + EPSILON) / (jumps[:, 1:].mean(dim=1) + EPSILON))
    return float(torch.stack(ratios).mean())


def _nearest_distance(pictures: Tensor, source: Tensor, seed: int, *, overlapping: bool) -> float:
    """Return the mean distance of patches of `pictures` (N, C, H, W) to their nearest in `source` (C, H, W).

    overlapping: if False, `pictures` is `source` itself, and patches that overlap are not compared.
    """
    level = source.mean(dim=(1, 2), keepdim=True)  # squares of numbers near zero lose fewer digits
    source, windows = source - level, _windows(pictures - level, COPIED_PATCH)
    corners = _sample_patches(windows, COPY_QUERIES, seed)
    patches = windows[corners]  # (Q, C, side, side)
    # ‖p - s‖² = ‖p‖² - 2 ⟨p, s⟩ + ‖s‖²; ‖p‖² does not change which s is nearest.
    norms = F.conv2d(source.square()[None], torch.ones_like(patches[:1]))
    errors = (norms - 2 * F.conv2d(source[None], patches))[0]  # (Q, H', W')
    if not overlapping:
        rows, columns = (
            (torch.arange(size) - corner[:, None]).abs() < COPIED_PATCH
            for size, corner in zip(errors.shape[1:], corners[1:], strict=True)
        )
        errors[rows[:, :, None] & columns[:, None, :]] = math.inf
    corners_found = torch.unravel_index(errors.flatten(1).argmin(dim=1), errors.shape[1:])
    found = _windows(source[None], COPIED_PATCH)[torch.zeros_like(corners_found[0]), *corners_found]
    return float((patches - found).flatten(1).norm(dim=1).mean())


def _as_batch(pictures: Tensor) -> Tensor:
    """Return one picture (C, H, W) or several (N, C, H, W) as (N, C, H, W), on the CPU, in float32."""
    pictures = pictures.detach().cpu().float()
    return pictures if pictures.ndim == 4 else pictures[None]


def _windows(pictures: Tensor, side: int) -> Tensor:
    """Return every patch of pictures (N, C, H, W), indexed by picture and corner: (N, H', W', C, side, side)."""
    return pictures.unfold(-2, side, 1).unfold(-2, side, 1).permute(0, 2, 3, 1, 4, 5)


def _sample_patches(windows: Tensor, limit: int, seed: int) -> tuple[Tensor, ...]:
    """Return picture, row and column of every patch in `windows`, or of `limit` random ones if there are more."""
    positions = windows.shape[:3]
    chosen = torch.randperm(positions.numel(), generator=torch.Generator().manual_seed(seed))[:limit]
    return torch.unravel_index(chosen, positions)


def _wasserstein(a: Tensor, b: Tensor) -> float:
    """Return W_1 = ∫ |Q_a(p) - Q_b(p)| dp of the rows of a (K, P) and b (K, P'), Q the quantiles; mean over rows."""
    # Three times as fast as torch.sort, which also returns indices.
    a, b = (torch.from_numpy(np.sort(side.numpy(), axis=1)) for side in (a, b))
    count = max(a.shape[1], b.shape[1])
    levels = 2 * torch.arange(count) + 1  # over 2 * count: the middles of `count` equal steps
    a, b = (side[:, levels * side.shape[1] // (2 * count)] for side in (a, b))
    return float((a - b).abs().mean())
