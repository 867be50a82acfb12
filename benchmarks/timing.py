"""Time and memory of a piece of work, on the processor or a GPU."""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

MEBIBYTE = 1 << 20
MOST_SECONDS = 20.0  # of one comparison, so that a benchmark of a dozen ends within minutes on any machine


def median_seconds(tasks: Mapping[str, Callable[[], object]], turns: int, device: torch.device) -> dict[str, float]:
    """Return the median seconds of each task. The tasks take turns; a first turn is not counted.

    A machine whose speed drifts thus drifts for all of them. On a slow machine there are fewer turns: none begins after
    MOST_SECONDS but the first that counts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    measuring_since = time.perf_counter()
    for turn in range(turns + 1):
        if turn > 1 and time.perf_counter() - measuring_since > MOST_SECONDS:
            break
        for name, task in tasks.items():
            began_at = time.perf_counter()
            task()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                seconds[name].append(time.perf_counter() - began_at)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def peak_bytes(device: torch.device) -> int:
    """Return the peak memory of this process since `start_memory_peak`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status_bytes("VmHWM")  # getrusage would include the parent's peak


def start_memory_peak(device: torch.device) -> int:
    """Reset the peak memory of this process to its present memory, and return that."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    return _status_bytes("VmRSS")


def _status_bytes(field: str) -> int:
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(found.split()[1]) * 1024


def describe_machine(device: torch.device) -> str:
    """Return the name of the GPU, or of the processor with its threads and vector units."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    found = torch.cpu.get_capabilities()
    units = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if found.get(name)]
    return f"{found.get('cpu_name', found.get('architecture'))}, {torch.get_num_threads()} threads, {' '.join(units)}"
