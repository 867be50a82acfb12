"""Choose the device that computes. If the machine has several GPUs, each work process uses one of its own."""

from pathlib import Path

import structlog
import torch
from torch.backends import cudnn

from core.runtime.processes import core_count
from core.runtime.startup import CannotStart
from worker.gpu_locks import lock_least_shared
from worker.settings import WorkerSettings

log = structlog.get_logger()


def choose_device(settings: WorkerSettings) -> torch.device:
    """Return the device of the settings; for `auto` a GPU if there is one. Also set the number of threads.

    Raises CannotStart if there is no such device.
    """
    torch.set_num_threads(settings.threads or core_count())
    torch.set_num_interop_threads(1)
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise CannotStart(f"GENCONVNET_DEVICE: {name!r} is no device: write auto, cpu, cuda or cuda:0") from error
    if device.type == "cuda":
        device = _lock_gpu(device, settings.data_dir / "gpus")
    log.info("device", device=str(device), threads=torch.get_num_threads())
    return device


def device_kind(device: torch.device) -> str:
    """Return the kind of processor or GPU: on two devices of one kind, equal work gives equal results."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


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
    gpus = [str(torch.cuda.get_device_properties(number).uuid) for number in numbers]
    device = torch.device("cuda", numbers[lock_least_shared(folder, gpus)])
    torch.cuda.set_device(device)
    cudnn.allow_tf32 = False  # float32 must mean float32; set precision to bfloat16 for less
    cudnn.deterministic = True
    return device
