"""A working process whose work never comes to its next step."""

import time
from multiprocessing.connection import Connection

from core.schemas.jobs import JobKind, Queue
from worker import child_process
from worker.settings import WorkerSettings

child_main = child_process._main


def main(pipe: Connection, settings: WorkerSettings, queue: Queue, name: str) -> None:
    """As `worker.child_process` starts it; only what a training job does is another."""
    from worker.runner import HANDLERS

    HANDLERS[JobKind.TRAIN] = lambda _: time.sleep(600)
    child_main(pipe, settings, queue, name)
