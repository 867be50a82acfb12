"""API processes that are forked from one which has imported the API already.

Each is a process of its own that runs `api.__main__.main` as `python -m api` does, but it need not import for a second
first, which a hundred tests would wait for.
"""

import multiprocessing
import os
import signal
import subprocess
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path


class PreloadedApi:
    """A running API process, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, folder: Path, log: Path, environment: Mapping[str, str]) -> None:
        """Start the API in `folder`; its output goes to `log`."""
        arguments = (str(folder), str(log), dict(environment))
        self._process: ForkServerProcess = _context().Process(target=_run, args=arguments)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for the end of the process and return its exit code. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired("api", timeout)
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
    context.set_forkserver_preload(["api.__main__"])
    return context


def _run(folder: str, log: str, environment: Mapping[str, str]) -> None:
    with Path(log).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    from api.__main__ import main
    from core.runtime.processes import STARTER
    from core.runtime.startup import exit_if_refused

    os.environ[STARTER] = str(os.getppid())
    with exit_if_refused("genconvnet api"):
        main()
