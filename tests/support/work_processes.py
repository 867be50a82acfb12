"""Main functions for the work process of `worker.work_process`, which spawns them by name."""

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

from core.jobs import leases
from core.runtime.logs import configure_logs
from core.runtime.startup import CannotStart
from core.schemas.jobs import JobKind, Queue
from core.storage.database import Database
from worker import work_process
from worker.settings import WorkerSettings

real_main = work_process._main


def claim_and_sleep(pipe: Connection, settings: WorkerSettings, queue: Queue, name: str) -> None:
    """Claim a job, make the file `claimed(…)`, and never finish. Imports no torch, so it starts fast."""
    pipe.send(work_process.READY)
    pipe.recv()
    pipe.send(leases.claim(Database(settings.rows_url), queue, name, settings.lease_seconds))
    claimed(settings, os.getpid()).touch()
    time.sleep(600)


def claimed(settings: WorkerSettings, pid: int | None) -> Path:
    """Return the file that the process makes when it has told its parent of a job."""
    return settings.data_dir / f"claimed-by-{pid}"


def stall_once(pipe: Connection, settings: WorkerSettings, queue: Queue, name: str) -> None:
    """Run the real main function with a training job that takes no step. The next process is `claim_and_sleep`."""
    stalled = settings.data_dir / "stalled"
    if stalled.exists():
        claim_and_sleep(pipe, settings, queue, name)
        return
    stalled.touch()
    from worker.runner import HANDLERS

    HANDLERS[JobKind.TRAIN] = lambda _: time.sleep(600)
    real_main(pipe, settings, queue, name)


def hang_at_the_start(*_: object) -> None:
    """Never become ready."""
    time.sleep(600)


def hang_at_the_end(pipe: Connection, *_: object) -> None:
    """Close the pipe at the first message, as at the end of a process, which then does not end."""
    pipe.send(work_process.READY)
    pipe.recv()
    pipe.close()
    time.sleep(600)


def write_like_a_library(pipe: Connection, settings: WorkerSettings, *_: object) -> None:
    """Write a plain line to standard error, as code in C does, and end on the next message by an error."""
    configure_logs(settings)
    os.write(2, b"a line of a library\n")
    pipe.send(work_process.READY)
    pipe.recv()
    raise ArithmeticError("unforeseen")


def refuse(*_: object) -> None:
    """Refuse the settings, as for a device that does not exist."""
    raise CannotStart("GENCONVNET_DEVICE: there is no such device")


def fail(*_: object) -> None:
    """End before the process is ready."""
    raise SystemExit(1)
