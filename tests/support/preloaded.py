"""Processes of the service that are forked from one which has imported it already.

Each is a process of its own that runs the API or a worker as `python -m` does, but it need not import for seconds
first, which a hundred tests would wait for. Whole services (`support.service`) start theirs as users do.
"""

import multiprocessing
import os
import signal
import subprocess
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from core.schemas.jobs import Queue

# The entry points, and what they import only while they start.
MODULES = (
    "api.server",
    "worker.app",
    "alembic.command",
    "alembic.config",
    "anyio._backends._asyncio",
    "celery.concurrency.thread",
    "celery.fixups.django",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
)


class PreloadedProcess:
    """A running process, with the methods of `subprocess.Popen` that tests use. It leads a session of its own."""

    def __init__(self, module: str, *arguments: str, folder: Path, log: Path, environment: Mapping[str, str]) -> None:
        """Start `python -m MODULE ARGUMENTS` in `folder`; its output is added to `log`. module: "api" or "worker"."""
        run = (module, arguments, str(folder), str(log), dict(environment))
        self._process: ForkServerProcess = _context().Process(target=_run, args=run)
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

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(MODULES))
    return context


def _run(module: str, arguments: tuple[str, ...], folder: str, log: str, environment: Mapping[str, str]) -> None:
    os.setsid()
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    from core.runtime.processes import STARTER
    from core.runtime.startup import exit_if_refused

    os.environ[STARTER] = str(os.getppid())
    with exit_if_refused(f"genconvnet {module}"):
        if module == "api":
            from api.server import main

            main()
        else:
            from worker.app import main as work

            work(Queue(arguments[0]))
