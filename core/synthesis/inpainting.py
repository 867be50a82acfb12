"""Inpainting: Langevin dynamics of the unknown pixels of a picture, with the known ones fixed (eq. 19).

The dynamics is that of `core.synthesis.conditions` with `KnownPixels`; here is where its chains begin.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from core.engine import ReferenceEngine
from core.engine.dynamics import Dynamics
from core.engine.interface import Watch
from core.pictures.patchwork import patch_side
from core.recipe.denoising import denoise
from core.recipe.fine_detail import filtered
from core.synthesis.conditions import Condition, KnownPixels, run_under_conditions
from core.theory.model import GenerativeConvNet

BEST_FITS = 4  # number of best fitting patches; one of them is drawn, so that versions of a picture differ
PATCHED = 0.25  # of the band that is painted along an edge: so much of it begins with other patches of the picture
MARGIN = 8  # pixels around a patch that are compared with what is already known or laid


@torch.no_grad()
def inpaint(
    net: GenerativeConvNet,
    images: Tensor,
    known: Tensor,
    *,
    steps: int,
    dynamics: Dynamics,
    generator: torch.Generator,
    noise_std: float = 0.0,
    start: Tensor | None = None,
    conditions: Sequence[Condition] = (),
    after_step: Callable[[float], None] | None = None,
    detail_filter: Tensor | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Paint the unknown pixels of pictures (N, C, H, W) by `steps` Langevin steps -> (N, C, H, W), grey levels.

    known (N, 1, H, W), bool: these pixels are returned unchanged; the unknown ones of `images` are not used.
    noise_std: white noise that the net's training pictures were under, in grey levels. The known pixels get such noise,
    drawn anew for each step, and what was painted is denoised at the end (see `denoise`).
    dynamics: as the net was learned.
    conditions: others, which are respected after that.
    start (N, C, H, W): first values of the unknown pixels (see `start_from_chains`), by default `smooth_fill`.
    `after_step(steps done)` is called after each step; an exception it raises ends the run. watch: see `Watch`.
    detail_filter: what was painted gets it last (see `core.recipe.fine_detail`), and has the rest of the denoised
    picture around it there, not the known pixels.
    """
    begin = torch.where(known, images, smooth_fill(images, known) if start is None else start)
    conditions = (KnownPixels(images, known, noise_std), *conditions)
    painted = run_under_conditions(
        ReferenceEngine(), net, begin, steps, dynamics, generator, conditions, after_step, watch
    )
    clean = denoise(net, painted, noise_std, dynamics.boundary, dynamics.random_lattice)
    if detail_filter is not None:
        clean = filtered(clean, detail_filter)
    return torch.where(known, images, clean)


def start_from_chains(
    images: Tensor,
    known: Tensor,
    chains: Tensor,
    generator: torch.Generator,
    stride: int | None = None,
    periodic: bool = True,
) -> Tensor:
    """Return a start for `inpaint`: the unknown pixels filled with patches of the model's synthesized pictures.

    images (N, C, H, W); known (N, 1, H, W), bool; chains (M, C, S, T) -> (N, C, H, W). A patch is one of the BEST_FITS
    that agree best with the pixels in and around it that are known or already laid, from places apart from each other.
    stride: that of a net whose chains are periodic, so that a patch may begin anywhere on them, in phase with the
    stride. None if the chains' pixels have fixed positions; the chains are then as large as the pictures.
    periodic: False if a patch must lie inside a chain.
    The dynamics repairs the remaining seams far sooner than it grows structure from a flat start, which a chain may
    never leave.
    """
    started = images.masked_fill(~known, 0)
    for picture, filled in zip(started, known.clone(), strict=True):
        _fill_with_patches(picture, filled, chains, generator, stride, periodic)
    return started


def _fill_with_patches(
    picture: Tensor, filled: Tensor, chains: Tensor, generator: torch.Generator, stride: int | None, periodic: bool
) -> None:
    """Fill picture (C, H, W) patch by patch where it is not yet `filled` (1, H, W), both in place."""
    size = min(chains.shape[-2:])
    side, margin = (patch_side(chains), min(MARGIN, size // 4)) if stride else (size, 0)
    down, across = (_extent((~filled[0]).any(dim=dim)) for dim in (1, 0))
    for top in range(*down, side):
        for left in range(*across, side):
            if filled[:, top : top + side, left : left + side].all():
                continue
            corner = (max(top - margin, 0), max(left - margin, 0)) if stride else (0, 0)
            rows = slice(corner[0], top + side + margin)
            columns = slice(corner[1], left + side + margin)
            target, done = picture[:, rows, columns], filled[:, rows, columns]
            patch = _draw_fitting_patch(chains, target, done, corner, generator, stride, periodic)
            target.copy_(torch.where(done, target, patch))
            done.fill_(True)


def _extent(unknown: Tensor) -> tuple[int, int]:
    """Return the first unknown line and the end of the last; (0, 0) if there are none."""
    lines = unknown.nonzero()
    return (int(lines[0]), int(lines[-1]) + 1) if len(lines) else (0, 0)


def _draw_fitting_patch(
    chains: Tensor,
    target: Tensor,
    done: Tensor,
    corner: tuple[int, int],
    generator: torch.Generator,
    stride: int | None,
    periodic: bool,
) -> Tensor:
    """Draw one of the BEST_FITS patches for `target` (C, h, w), compared at its pixels that are `done` (1, h, w).

    corner: first row and column of `target` in its picture, which decide its stride phase.
    """
    errors = _squared_errors(chains, target, done)
    if not periodic:
        errors = errors[:, : errors.shape[1] - target.shape[1] + 1, : errors.shape[2] - target.shape[2] + 1]
    if stride is None:
        errors = errors[:, :1, :1]
        offset, step = (0, 0), 1
    else:
        offset, step = (corner[0] % stride, corner[1] % stride), stride
        errors = errors[:, offset[0] :: step, offset[1] :: step]
    best = _best_fits(errors, apart=max(1, min(target.shape[1:]) // (4 * step)))
    drawn = torch.randint(len(best), (), generator=generator, device=generator.device)
    chain, down, across = torch.tensor(best[int(drawn)], device=chains.device)
    rows = offset[0] + down * step + torch.arange(target.shape[1], device=chains.device)
    columns = offset[1] + across * step + torch.arange(target.shape[2], device=chains.device)
    return chains[chain][:, rows % chains.shape[2]][:, :, columns % chains.shape[3]]


def _best_fits(errors: Tensor, apart: int) -> list[tuple[int, int, int]]:
    """Return the indices of the BEST_FITS least of errors (M, S, T) that lie `apart` from each other, or of fewer."""
    left = errors.clone()
    best: list[tuple[int, int, int]] = []
    while len(best) < BEST_FITS and left.isfinite().any():
        chain, down, across = (int(one) for one in torch.unravel_index(left.argmin(), left.shape))
        best.append((chain, down, across))
        left[chain, max(0, down - apart + 1) : down + apart, max(0, across - apart + 1) : across + apart] = torch.inf
    return best


def _squared_errors(chains: Tensor, target: Tensor, done: Tensor) -> Tensor:
    """Return Σ_x done(x) (chain(x + d) - target(x))² up to a constant, for every chain and periodic shift d: (M, S, T).

    By the correlation theorem, Σ_x a(x) b(x + d) = F⁻¹[F(a)* F(b)](d).
    """
    sides = tuple(chains.shape[-2:])
    weight = torch.fft.rfft2(done.to(chains.dtype), s=sides).conj()
    spectrum_of_target = torch.fft.rfft2(target * done, s=sides).conj()
    spectrum = (torch.fft.rfft2(chains.square()) * weight - 2 * torch.fft.rfft2(chains) * spectrum_of_target).sum(dim=1)
    errors: Tensor = torch.fft.irfft2(spectrum, s=sides)
    return errors


def inside_seam(height: int, width: int, band: int) -> Tensor:
    """Return which pixels (H, W) of a picture are not in the `band` pixels along its edges, as bool."""
    return _from_edge(height, width) >= band


def share_of_photograph(height: int, width: int, seam_width: int) -> Tensor:
    """Return how much of each pixel (H, W) of a picture whose seam was painted is the photograph's, 0 to 1.

    All of it inside the band, nothing where the band began with other patches, and in between the more the farther from
    the seam: few steps leave the photograph's elements where they were, but not its light and sharpness.
    """
    patched = _patched_width(seam_width)
    return ((_from_edge(height, width) + 1 - patched) / (seam_width + 1 - patched)).clamp(0, 1)


def _from_edge(height: int, width: int) -> Tensor:
    """Return how many pixels lie between each pixel (H, W) and the nearest edge."""
    rows, columns = (torch.minimum(line, line.flip(0)) for line in (torch.arange(height), torch.arange(width)))
    return torch.minimum(rows[:, None], columns)


def _patched_width(seam_width: int) -> int:
    """Return how many pixels along each edge begin with other patches of the picture."""
    return math.ceil(PATCHED * seam_width)


def start_across_seam(images: Tensor, seam_width: int, generator: torch.Generator, noise_std: float = 0.0) -> Tensor:
    """Return a start for `inpaint` of pictures (N, C, H, W) whose seam is painted, `seam_width` pixels along each edge.

    The pictures themselves, so that what the band's inner edge crosses begins whole; nearest to the seam patches of
    them, none across an edge, that fit to both sides; all under white noise as the net's training pictures were.
    """
    height, width = images.shape[-2:]
    down, right = height // 2, width // 2
    known = inside_seam(height, width, _patched_width(seam_width)).expand(len(images), 1, -1, -1)
    rolled, known = (one.roll((down, right), (2, 3)) for one in (images, known.to(images.device)))
    started = [
        start_from_chains(rolled[[one]], known[[one]], images[[one]], generator, stride=1, periodic=False)
        for one in range(len(images))
    ]
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return torch.cat(started).roll((-down, -right), (2, 3)) + noise_std * noise


def smooth_fill(images: Tensor, known: Tensor) -> Tensor:
    """Fill the unknown pixels with a smooth continuation: means of known pixels over ever larger blocks.

    images (N, C, H, W); known (N, 1, H, W), bool -> (N, C, H, W). A picture without known pixels becomes zero, the mean
    of the training pictures.
    """
    weights, masked = known.to(images.dtype), images.masked_fill(~known, 0)
    if min(images.shape[-2:]) == 1 or bool(known.all()):
        total = masked.sum(dim=(2, 3), keepdim=True)
        return torch.where(known, images, total / weights.sum(dim=(2, 3), keepdim=True).clamp_min(1))
    share = functional.avg_pool2d(weights, 2, ceil_mode=True)
    blocks = functional.avg_pool2d(masked, 2, ceil_mode=True) / share.clamp_min(torch.finfo(share.dtype).tiny)
    coarse = smooth_fill(blocks, share > 0)
    smooth = functional.interpolate(coarse, size=images.shape[-2:], mode="bilinear")
    return torch.where(known, images, smooth)
