"""Which arithmetic a device computes in, and what `precision: auto` means there.

Jobs record what was chosen. A replay chooses anew; if it chooses otherwise, its warnings say so.
"""

import functools
import time
from functools import partial

import torch
from torch.backends import cudnn

from core.engine.parallel import threads

IN_HARDWARE = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")  # what processors name their instructions
MIN_SPEEDUP = 1.5  # of a convolution. Two processors with AVX512-BF16 measured 2.6 and 0.5.
REPETITIONS = 15

# On a GPU a seed gives the same pictures each time: float32 is not TF32, which keeps 11 of its 24 bits, and cuDNN's
# kernels are not chosen by timing and add in a fixed order. These flags change nothing on a processor.
REPRODUCIBLE = {"benchmark": False, "deterministic": True, "allow_tf32": False}
reproducible_cudnn = partial(cudnn.flags, enabled=True, **REPRODUCIBLE)


def use_gpu(device: torch.device) -> None:
    """Make a GPU this process's own, with cuDNN's flags REPRODUCIBLE.

    Raises what its driver raises if it cannot be used.
    """
    torch.cuda.set_device(device)
    for name, value in REPRODUCIBLE.items():
        setattr(cudnn, name, value)


def bfloat16_instructions() -> list[str]:
    """Return which of IN_HARDWARE this processor has."""
    capabilities = torch.cpu.get_capabilities()
    return [name for name in IN_HARDWARE if capabilities.get(name)]


def has_bfloat16(device: torch.device) -> bool:
    """Return True if the device multiplies bfloat16 in hardware: it need not emulate it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # from Ampere on
    return device.type == "cpu" and bool(bfloat16_instructions())


def prefers_bfloat16(device: torch.device) -> bool:
    """Return True if the device is clearly faster in bfloat16 than in float32.

    A GPU from Ampere on and a processor with AMX are. Other processors that have it are asked once, by a convolution.
    """
    if not has_bfloat16(device):
        return False
    if device.type == "cuda" or "amx_bf16" in bfloat16_instructions():
        return True
    return _speedup() >= MIN_SPEEDUP


@functools.cache
@torch.no_grad()
def _speedup() -> float:
    """Return how many times faster a layer of `quick` is in bfloat16, on one thread of this processor."""
    pairs = [
        (
            torch.randn(1, 96, 36, 36).to(dtype, memory_format=torch.channels_last),
            torch.randn(48, 96, 3, 3).to(dtype, memory_format=torch.channels_last),
        )
        for dtype in (torch.float32, torch.bfloat16)
    ]
    seconds: list[list[float]] = [[], []]
    with threads(1):
        for _ in range(REPETITIONS):
            for (images, weight), taken in zip(pairs, seconds, strict=True):
                before = time.perf_counter()
                torch.nn.functional.conv2d(images, weight)
                taken.append(time.perf_counter() - before)
    in_float32, in_bfloat16 = map(min, seconds)  # others on the machine can only add
    return in_float32 / in_bfloat16
