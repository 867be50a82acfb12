"""Choose the device that computes. If the machine has several GPUs, each work process uses one of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
import torch

from core.engine.precision import bfloat16_instructions, use_gpu
from core.runtime.processes import core_count
from core.runtime.startup import CannotStart
from worker.gpu_locks import least_shared, lock_least_shared
from worker.settings import WorkerSettings

log = structlog.get_logger()


def choose_device(settings: WorkerSettings) -> torch.device:
    """Return the device of the settings; for `auto` a GPU if there is one. Also set the number of threads.

    Raises CannotStart if there is no such device.
    """
    torch.set_num_threads(all_threads(settings))
    torch.set_num_interop_threads(1)
    name = _named(settings)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise CannotStart(f"GENCONVNET_DEVICE: {name!r} is no device: write auto, cpu, cuda or cuda:0") from error
    if device.type == "cuda":
        device = _lock_gpu(device, _lock_folder(settings))
    log.info("device", device=str(device), threads=torch.get_num_threads())
    return device


@contextmanager
def other_devices(device: torch.device, settings: WorkerSettings, count: int) -> Iterator[list[torch.device]]:
    """Yield devices for up to `count` more processes of a training whose first process uses `device`.

    On a processor all use it, at most one for each of the worker's threads. GPUs are different ones, locked meanwhile;
    there are none beside a GPU that the settings name by its number.
    """
    if device.type == "cpu":
        yield [device] * min(count, all_threads(settings) - 1)
    elif device.type != "cuda" or torch.device(_named(settings)).index is not None:
        yield []
    else:
        numbers = [number for number in range(torch.cuda.device_count()) if number != device.index]
        with least_shared(_lock_folder(settings), _uuids(numbers), count) as chosen:
            yield [torch.device("cuda", numbers[index]) for index in chosen]


def all_threads(settings: WorkerSettings) -> int:
    """Return how many processor threads a job may have if no other worker is busy."""
    return settings.threads or core_count()


def device_kind(device: torch.device) -> str:
    """Return the kind of processor or GPU; of a processor, its vector instructions and those for bfloat16.

    On devices of different kinds, equal work may give results that differ by rounding.
    """
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return " ".join(["cpu", torch.backends.cpu.get_cpu_capability(), *bfloat16_instructions()])


def _lock_gpu(device: torch.device, folder: Path) -> torch.device:
    """Lock and return the GPU that `device` names, or the one that the fewest processes on this machine use.

    Raises CannotStart if PyTorch does not find it.
    """
    count = torch.cuda.device_count()
    numbers = range(count) if device.index is None else [device.index]
    if not count:
        raise CannotStart("GENCONVNET_DEVICE is cuda, but PyTorch sees no GPU: is its driver there, and new enough?")
    if numbers[0] >= count:
        raise CannotStart(f"GENCONVNET_DEVICE is {device}, but PyTorch sees {count} GPUs: name a smaller number")
    device = torch.device("cuda", numbers[lock_least_shared(folder, _uuids(numbers))])
    use_gpu(device)
    return device


def _named(settings: WorkerSettings) -> str:
    if settings.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return settings.device


def _lock_folder(settings: WorkerSettings) -> Path:
    return settings.data_dir / "gpus"


def _uuids(numbers: Sequence[int]) -> list[str]:
    return [str(torch.cuda.get_device_properties(number).uuid) for number in numbers]
