"""Where the arithmetic is done. Of several GPUs each working process owns one."""

import fcntl
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import structlog
import torch
from torch.backends import cudnn

from core.runtime.processes import core_count
from worker.settings import WorkerSettings

log = structlog.get_logger()

_owned: list[int] = []  # the lock of this process's GPU, held until the process ends, however it ends


def choose_device(settings: WorkerSettings) -> torch.device:
    """The device that the settings name, or a GPU where there is one; sets the processor's threads."""
    torch.set_num_threads(settings.threads or core_count())
    torch.set_num_interop_threads(1)
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        device = _own_gpu(device, settings.data_dir / "gpus")
    log.info("device", device=str(device), threads=torch.get_num_threads())
    return device


def _own_gpu(device: torch.device, folder: Path) -> torch.device:
    """The GPU that `device` names by its number, taken too; else one that fewest others on this machine have taken."""
    count = torch.cuda.device_count()
    numbers = range(count) if device.index is None else [device.index]
    if not count:
        raise RuntimeError("GENCONVNET_DEVICE is cuda, but PyTorch sees no GPU: is its driver there, and new enough?")
    gpus = [str(torch.cuda.get_device_properties(number).uuid) for number in numbers]
    device = torch.device("cuda", numbers[take_one(folder, gpus)])
    torch.cuda.set_device(device)
    cudnn.allow_tf32 = False  # float32 means float32; who wants less asks for bfloat16
    cudnn.deterministic = True
    return device


def take_one(folder: Path, names: Sequence[str]) -> int:
    """The number of one of `names`, which is this process's own for as long as it lives; `folder` keeps the locks.

    Where every one is taken, one that no more than one process has; and so on. There must be at least one name. The
    system frees the locks of a process that ends. Names are unique in the world: machines and containers may share the
    folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for sharer in itertools.count():
        for index, name in enumerate(names):
            lock = os.open(folder / f"{name}.{sharer}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            _owned.append(lock)
            return index
    raise AssertionError("names is empty")
