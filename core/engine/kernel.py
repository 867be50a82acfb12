"""The element-wise part of a Langevin step as one Triton kernel: the noise is drawn where it is added, never stored."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from core.theory.langevin import LangevinCoefficients

_BLOCK = 1024


@triton.jit  # type: ignore[untyped-decorator]
def _advance(chains, basis, key, of_image, of_basis, of_noise, count, first, block: tl.constexpr):  # type: ignore[no-untyped-def]
    place = tl.program_id(0) * block + tl.arange(0, block)
    inside = place < count
    noise = tl.randn(tl.load(key), first + place)  # Philox: keyed by the step, counted by the element
    moved = tl.load(chains + place, mask=inside) * of_image
    moved += tl.load(basis + place, mask=inside).to(tl.float32) * of_basis + noise * of_noise
    tl.store(chains + place, moved, mask=inside)


def advance_(chains: Tensor, basis: Tensor, key: Tensor, step: LangevinCoefficients, first: int = 0) -> None:
    """Take a step of eq. 19 in place, I <- `step.image` I + `step.basis` B + `step.noise` Z, and add one to the key.

    chains I (N, C, H, W), float32, and basis B, of any float type: channels innermost in memory, fewer than 2^31
    numbers. key (1,), int64, on the device, seeds Z: no two steps of a run may share one. first: the counter
    of the first element's noise, not 0 if other processes step the chains before these.
    Raises ValueError if the shapes differ or the channels are not innermost.
    """
    innermost = all(one.is_contiguous(memory_format=torch.channels_last) for one in (chains, basis))
    if not innermost or chains.shape != basis.shape:
        raise ValueError(
            f"chains {tuple(chains.shape)} and basis {tuple(basis.shape)} must have one shape, channels innermost"
        )
    grid = (triton.cdiv(chains.numel(), _BLOCK),)
    _advance[grid](chains, basis, key, step.image, step.basis, step.noise, chains.numel(), first, _BLOCK)
    key += 1


def check_kernel(device: torch.device) -> None:
    """Compile and run the kernel once. Raises what Triton raises if it cannot compile for `device`."""
    one = torch.zeros(1, 1, 2, 2, device=device).contiguous(memory_format=torch.channels_last)
    advance_(one, one.clone(), torch.zeros(1, dtype=torch.int64, device=device), LangevinCoefficients(1.0, 0.0, 1.0))
