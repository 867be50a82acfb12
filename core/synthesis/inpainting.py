"""Painting what is unknown of a picture: Langevin dynamics of the unknown pixels, the known ones held (eq. 19).

The conditional density p(I_unknown | I_known) ∝ p(I) has the same gradient on the unknown pixels as p(I) itself, so a
step of eq. 19, after which the known pixels are put back, is a step of its Langevin dynamics.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from core.engine.dynamics import Dynamics, random_phase
from core.recipe.denoising import denoise
from core.theory.langevin import langevin_step
from core.theory.model import GenerativeConvNet

PIECES_PER_CHAIN = 2  # along each side
BEST = 4  # fitting pieces, of which one is drawn, so that versions differ
MARGIN = 8  # pixels around a piece that are compared, too


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
    after_step: Callable[[float], None] | None = None,
) -> Tensor:
    """Pictures (N, C, H, W) with what is unknown painted by `steps` Langevin steps -> (N, C, H, W), grey levels.

    known (N, 1, H, W), bool: there the pixels are those of `images`, exactly; elsewhere `images` does not matter.
    noise_std: the white noise that the net learned its pictures under, grey levels: the known pixels are held under
    the like, drawn anew for each step, and what is painted is cleaned of it in the end (see `denoise`).
    dynamics: as the net was learned (see `core.theory.langevin`).
    start (N, C, H, W): what the unknown pixels begin as (see `start_from_chains`), by default a smooth continuation of
    what surrounds them (see `smooth_fill`).
    `after_step(steps done)` is told of each step; what it raises ends the run.
    """
    stride, box = net.architecture.total_stride, dynamics.box
    painted = torch.where(known, images, smooth_fill(images, known) if start is None else start)
    for step in range(1, steps + 1):
        noise = torch.randn(images.shape, generator=generator, device=images.device) if noise_std else 0.0
        held = images + noise_std * noise
        down, right = random_phase(stride, generator) if dynamics.random_lattice else (0, 0)
        moved = painted.roll((down, right), (2, 3))
        moved = langevin_step(net, moved, dynamics.step_size, generator, boundary=dynamics.boundary)
        moved = moved.roll((-down, -right), (2, 3))
        painted = torch.where(known, held, moved if box is None else box.project(moved))
        if after_step is not None:
            after_step(step)
    clean = denoise(net, painted, noise_std, dynamics.boundary, dynamics.random_lattice)
    return torch.where(known, images, clean)


def start_from_chains(
    images: Tensor, known: Tensor, chains: Tensor, generator: torch.Generator, stride: int | None = None
) -> Tensor:
    """A start for `inpaint`: what is unknown begins as pieces of the model's own synthesized pictures.

    images (N, C, H, W); known (N, 1, H, W), bool; chains (M, C, S, S) -> (N, C, H, W). Laid is one of the few pieces
    that agree best with what is known, or laid already, in and around them. stride: that of the net, whose chains are
    periodic, so that a piece may lie anywhere on them at its multiples; None where a chain's pixels keep their places,
    and the chains are as large as the pictures. What is left of the seams the dynamics heals: far sooner than it grows
    structure from a flat start, which a chain may never leave.
    """
    started = images.masked_fill(~known, 0)
    for picture, laid in zip(started, known.clone(), strict=True):
        _lay(picture, laid, chains, generator, stride)
    return started


def _lay(picture: Tensor, laid: Tensor, chains: Tensor, generator: torch.Generator, stride: int | None) -> None:
    """Fill picture (C, H, W) where it is not `laid` (1, H, W), piece by piece, in place."""
    size = chains.shape[-1]
    side, margin = (max(size // PIECES_PER_CHAIN, 1), min(MARGIN, size // 4)) if stride else (size, 0)
    down, across = (_extent((~laid[0]).any(dim=dim)) for dim in (1, 0))
    for top in range(*down, side):
        for left in range(*across, side):
            if laid[:, top : top + side, left : left + side].all():
                continue
            first = (max(top - margin, 0), max(left - margin, 0)) if stride else (0, 0)
            rows = slice(first[0], top + side + margin)
            columns = slice(first[1], left + side + margin)
            there, done = picture[:, rows, columns], laid[:, rows, columns]
            piece = _fitting(chains, there, done, first, generator, stride)
            there.copy_(torch.where(done, there, piece))
            done.fill_(True)


def _extent(unknown: Tensor) -> tuple[int, int]:
    """Where the unknown lines begin and end; (0, 0) where there are none."""
    lines = unknown.nonzero()
    return (int(lines[0]), int(lines[-1]) + 1) if len(lines) else (0, 0)


def _fitting(
    chains: Tensor,
    there: Tensor,
    done: Tensor,
    first: tuple[int, int],
    generator: torch.Generator,
    stride: int | None,
) -> Tensor:
    """One of the BEST pieces for `there` (C, h, w), where those pixels of it count that are `done` (1, h, w).

    first: the place of `there` in its picture, which says how it lies on the net's lattice.
    """
    errors = _misfits(chains, there, done)
    if stride is None:
        errors = errors[:, :1, :1]
        offset, step = (0, 0), 1
    else:
        offset, step = (first[0] % stride, first[1] % stride), stride
        errors = errors[:, offset[0] :: step, offset[1] :: step]
    best = errors.flatten().topk(min(BEST, errors.numel()), largest=False).indices
    drawn = torch.randint(len(best), (), generator=generator, device=generator.device)
    chain, down, across = torch.unravel_index(best[drawn.to(best.device)], errors.shape)
    rows = offset[0] + down * step + torch.arange(there.shape[1], device=chains.device)
    columns = offset[1] + across * step + torch.arange(there.shape[2], device=chains.device)
    return chains[chain][:, rows % chains.shape[2]][:, :, columns % chains.shape[3]]


def _misfits(chains: Tensor, there: Tensor, done: Tensor) -> Tensor:
    """Σ_x done(x) (chain(x + d) - there(x))² for every chain and shift d on its torus, but for a constant -> (M, S, S).

    By the correlation theorem, Σ_x a(x) b(x + d) = F⁻¹[F(a)* F(b)](d).
    """
    sides = tuple(chains.shape[-2:])
    weight = torch.fft.rfft2(done.to(chains.dtype), s=sides).conj()
    target = torch.fft.rfft2(there * done, s=sides).conj()
    spectrum = (torch.fft.rfft2(chains.square()) * weight - 2 * torch.fft.rfft2(chains) * target).sum(dim=1)
    sums: Tensor = torch.fft.irfft2(spectrum, s=sides)
    return sums


def smooth_fill(images: Tensor, known: Tensor) -> Tensor:
    """Smooth continuations of the known pixels into the unknown: means of ever larger blocks of what is known.

    images (N, C, H, W); known (N, 1, H, W), bool -> (N, C, H, W). A picture without a known pixel becomes zero, the
    mean of its kind.
    """
    weights, held = known.to(images.dtype), images.masked_fill(~known, 0)
    if min(images.shape[-2:]) == 1 or bool(known.all()):
        total = held.sum(dim=(2, 3), keepdim=True)
        return torch.where(known, images, total / weights.sum(dim=(2, 3), keepdim=True).clamp_min(1))
    share = functional.avg_pool2d(weights, 2, ceil_mode=True)
    blocks = functional.avg_pool2d(held, 2, ceil_mode=True) / share.clamp_min(torch.finfo(share.dtype).tiny)
    coarse = smooth_fill(blocks, share > 0)
    smooth = functional.interpolate(coarse, size=images.shape[-2:], mode="bilinear")
    return torch.where(known, images, smooth)
