"""The element-wise part of a step as one kernel of a GPU: its noise is drawn where it is added, and never stored."""

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


@triton.jit  # type: ignore[untyped-decorator]
def _advance(chains, pull, key, decay, half, step_size, count, block: tl.constexpr):  # type: ignore[no-untyped-def]
    place = tl.program_id(0) * block + tl.arange(0, block)
    inside = place < count
    noise = tl.randn(tl.load(key), place)  # Philox: the key is the step's, the counter the element's
    moved = tl.load(chains + place, mask=inside) * decay
    moved += tl.load(pull + place, mask=inside).to(tl.float32) * half + noise * step_size
    tl.store(chains + place, moved, mask=inside)


def advance_(chains: Tensor, pull: Tensor, key: Tensor, decay: float, half: float, step: float) -> None:
    """I <- decay I + half B + step Z, in place (eq. 19); then the key moves on by one.

    chains (N, C, H, W), float32, and pull B, of any float type, channels innermost in memory; fewer than 2^31 numbers.
    key: one whole number, on the device; no two steps of a run may share one.
    """
    innermost = all(one.is_contiguous(memory_format=torch.channels_last) for one in (chains, pull))
    if not innermost or chains.shape != pull.shape:
        raise ValueError(f"chains {tuple(chains.shape)} and pull {tuple(pull.shape)} must be alike, channels innermost")
    grid = (triton.cdiv(chains.numel(), _BLOCK),)
    _advance[grid](chains, pull, key, decay, half, step, chains.numel(), _BLOCK)
    key += 1


def try_out(device: torch.device) -> None:
    """Raises what Triton raises where it cannot compile for `device`."""
    one = torch.zeros(1, 1, 2, 2, device=device).contiguous(memory_format=torch.channels_last)
    advance_(one, one.clone(), torch.zeros(1, dtype=torch.int64, device=device), 1.0, 0.0, 1.0)
