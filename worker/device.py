"""Where the arithmetic is done."""

import os

import structlog
import torch

from worker.settings import WorkerSettings

log = structlog.get_logger()


def choose_device(settings: WorkerSettings) -> torch.device:
    """The device that the settings name, or the GPU where there is one; sets the processor's threads."""
    threads = settings.threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(settings.threads or threads or 1)
    torch.set_num_interop_threads(1)
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    log.info("device", device=str(device), threads=torch.get_num_threads())
    return device
