"""In place of multiprocessing in `worker.work_process`: forks work processes from one that has imported torch already.

A worker spawns them, and each imports torch for two seconds first. Like those, they end with their worker.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Self

from core.runtime.processes import die_with_parent


class Nursery:
    """A child of the worker, which forks one work process after another.

    Made before the worker has threads, of which a forked process would have no more than their locks.
    """

    Pipe = staticmethod(multiprocessing.Pipe)

    def __init__(self) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        if os.fork() == 0:
            self.pipe.close()
            _serve(theirs)
        theirs.close()

    def get_context(self, method: str) -> Self:
        assert method == "spawn"
        return self

    def Process(self, target: Callable[..., None], args: tuple[Any, ...], name: str) -> "ForkedProcess":  # noqa: N802
        return ForkedProcess(self.pipe, target, args, name)


class ForkedProcess:
    """The worker's handle on a work process, with the methods of `multiprocessing.Process` that it uses."""

    def __init__(self, nursery: Connection, *task: Any) -> None:
        self._nursery, self._task = nursery, task
        self.pid: int | None = None
        self.exitcode: int | None = None

    def start(self) -> None:
        self._nursery.send(self._task)
        self.pid = self._nursery.recv()

    def join(self, timeout: float | None = None) -> None:
        if self.exitcode is None and self._nursery.poll(timeout):
            self.exitcode = self._nursery.recv()

    def is_alive(self) -> bool:
        self.join(0)
        return self.exitcode is None

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.pid is not None and self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _serve(worker: Connection) -> None:
    """Fork a process for each task, and wait for its end, until that of the worker."""
    die_with_parent()
    os.setsid()
    forking = multiprocessing.get_context("fork")
    while True:
        target, args, name = worker.recv()
        process = forking.Process(target=target, args=args, name=name)
        process.start()
        for end in args:
            if isinstance(end, Connection):
                end.close()
        worker.send(process.pid)
        process.join()
        worker.send(process.exitcode)
