"""`genconvnet serve` as a user starts it: real processes, a real broker, real HTTP."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from support import rows
from support.client import ServiceClient
from support.waiting import PATIENCE_SECONDS, until

from core.runtime.settings import Settings
from core.storage.database import Database

GENCONVNET = str(Path(sys.executable).with_name("genconvnet"))
RUN_SECONDS, PAUSE_SECONDS = 0.03, 0.27
# One thread a job, and everything that is done at intervals done often, so that no test waits for it.
QUICK = {
    "GENCONVNET_THREADS": "1",
    "GENCONVNET_NICENESS": "0",
    "GENCONVNET_HEARTBEAT_SECONDS": "0.2",
    "GENCONVNET_RECONCILE_SECONDS": "2",
    "GENCONVNET_PROGRESS_SECONDS": "0.1",
}


class Service(ServiceClient):
    """A running `genconvnet serve`, its processes, log and database, and a client of it."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.database = Database(environment.get("GENCONVNET_DATABASE_URL") or Settings(data_dir=data_dir).rows_url)
        self.log = data_dir.with_suffix(".log")
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [GENCONVNET, "serve", "--port", "0", "--data-dir", str(data_dir)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**clean_environment(), **QUICK, **environment},
            )
        super().__init__(self._announced_url(), self.log)

    def processes(self) -> list[psutil.Process]:
        """Return the supervisor and all its descendants."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def part(self, *words: str) -> psutil.Process:
        """Wait for a child of the supervisor whose command line has all of `words`; return it."""

        def matches(process: psutil.Process) -> bool:
            line = " ".join(process.cmdline()).split()  # Valkey writes its whole title into the first argument
            return all(any(argument == word or argument.endswith(f"/{word}") for argument in line) for word in words)

        supervisor = psutil.Process(self.process.pid)
        found, *_ = until(lambda: [one for one in supervisor.children() if matches(one)], describe=lambda: words)
        return found

    def child(self, queue: str) -> psutil.Process:
        """Wait for the process that does the jobs of a worker, a child of the worker's; return it."""

        def children() -> list[psutil.Process]:
            return [one for one in self.part("worker", queue).children() if "spawn_main" in str(one.cmdline())]

        found, *_ = until(children, describe=lambda: queue)
        return found

    def stop(self) -> None:
        self.close()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.database.dispose()

    def past_a_checkpoint(self, job_id: str) -> dict[str, Any]:
        """Wait for the job's next checkpoint; return the job as it was before."""
        job, before = self.job(job_id), rows.row(self.database, job_id).checkpoint
        until(lambda: rows.row(self.database, job_id).checkpoint != before)
        return job

    def expire_lease(self, job_id: str) -> None:
        """Do to the job what waiting for the end of its lease does."""
        rows.expire(self.database, job_id)

    def wipe_broker(self) -> None:
        """Kill the broker and delete all that it has stored; the supervisor starts another."""
        self.part("valkey-server").kill()
        for file in (self.data_dir / "broker").rglob("*"):
            if file.is_file():
                file.unlink()

    def _announced_url(self) -> str:
        timer = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        timer.start()
        assert self.process.stdout is not None
        found = next((match for line in self.process.stdout if (match := re.search(r"http://\S+", line))), None)
        timer.cancel()
        assert found is not None, self.log.read_text()
        return found.group()


@contextmanager
def slowed(process: psutil.Process, pause_seconds: float = PAUSE_SECONDS) -> Iterator[None]:
    """Let `process` run only RUN_SECONDS between two pauses, by default a tenth of the time, by SIGSTOP and SIGCONT.

    A short job then lasts long enough to be disturbed, whatever the speed of the machine, and costs no more time of
    the processor.
    """
    over = threading.Event()

    def alternate() -> None:
        with suppress(psutil.NoSuchProcess):  # killed meanwhile
            while not over.wait(RUN_SECONDS):
                process.suspend()
                over.wait(pause_seconds)
                process.resume()

    thread = threading.Thread(target=alternate)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def clean_environment() -> dict[str, str]:
    """Return the environment without any setting of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GENCONVNET_")}
