"""Processes of the service that are forked from one which has imported it already.

Each is a process of its own that runs the API or a worker as `python -m` does, but it need not import for seconds
first, which a hundred tests would wait for. So does the process that does a worker's jobs, which imports torch. Whole
services (`support.service`) start theirs as users do.
"""

import functools
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import psutil
from support.nursery import Nursery

from core.schemas.jobs import Queue


class ForkedRanks:
    """In place of multiprocessing in `core.engine.ranks`: forks the other ranks from `fork_server`.

    They end with that, which ends with this process.
    """

    Pipe = staticmethod(multiprocessing.Pipe)

    def get_context(self, method: str) -> Self:
        assert method == "spawn"
        return self

    def Process(self, target: Callable[..., None], args: tuple[Any, ...], name: str) -> ForkServerProcess:  # noqa: N802
        context = fork_server()
        pipe, _, *others = args
        parent = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        return context.Process(target=target, args=(pipe, parent, *others), name=name)


class PreloadedProcess:
    """A running process, with the methods of `subprocess.Popen` that tests use. It leads a session of its own."""

    def __init__(self, module: str, *arguments: str, folder: Path, log: Path, environment: Mapping[str, str]) -> None:
        """Start `python -m MODULE ARGUMENTS` in `folder`; its output is added to `log`. module: "api" or "worker"."""
        run = (module, arguments, str(folder), str(log), dict(environment))
        self._process: ForkServerProcess = fork_server().Process(target=_run, args=run)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for the end of the process and return its exit code. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return code

    def work_processes(self) -> list[int]:
        """Return the processes that do the jobs of this worker, children of its nursery."""
        return [one.pid for nursery in psutil.Process(self.pid).children() for one in nursery.children()]

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


@functools.cache
def fork_server() -> ForkServerContext:
    """Start the server of processes, which imports `support.preloading`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.preloading"])
    path = os.pathsep.join(sys.path)  # which some versions of Python do not pass on
    with patch.dict(os.environ, PYTHONPATH=path, OMP_WAIT_POLICY="PASSIVE"):  # as in `worker.work_process`
        forkserver.ensure_running()
    return context


def _run(module: str, arguments: tuple[str, ...], folder: str, log: str, environment: Mapping[str, str]) -> None:
    os.setsid()
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    gc.freeze()  # what is imported stays, and is not searched for garbage
    from core.runtime.processes import STARTER
    from core.runtime.startup import exit_if_refused

    os.environ[STARTER] = str(os.getppid())
    with exit_if_refused(f"genconvnet {module}"):
        if module == "api":
            from api.server import main

            main()
        else:
            from worker import app, work_process

            work_process.multiprocessing = Nursery()
            app.main(Queue(arguments[0]))
