"""Runs the service's processes as children, restarts those that die, and stops all of them in order."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from core.runtime.logs import log_lines
from core.runtime.processes import with_starter
from core.runtime.startup import REFUSED

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 30.0
STABLE_SECONDS = 30.0  # a process that has run for this long is restarted without a pause
CHECK_SECONDS = 0.2

log = structlog.get_logger()


@dataclass
class SupervisedProcess:
    """A process that is restarted if it dies. On `stop` it has `stop_seconds` to end before it is killed.

    `plain_output`: it writes no structured log, so each line of its output is logged as one; `advice`: see `log_lines`.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: float = 10.0
    plain_output: bool = False
    advice: Sequence[str] = ()

    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    starts: int = 0

    def start(self) -> None:
        environment = {**os.environ, **self.environment, **with_starter()}
        output, errors = (subprocess.PIPE, subprocess.STDOUT) if self.plain_output else (None, None)
        # In a session of its own, so that Ctrl-C reaches only the supervisor, which stops its processes in order.
        self.process = subprocess.Popen(
            self.command, env=environment, start_new_session=True, stdout=output, stderr=errors
        )
        if self.process.stdout is not None:
            log_lines(self.process.stdout, self.name, advice=self.advice)
        self.started_at = time.monotonic()
        self.restart_at = 0.0
        self.starts += 1

    def delay_start(self, seconds: float) -> None:
        """Have `restart_if_dead` start the process, but not sooner than after so many seconds."""
        self.restart_at = time.monotonic() + seconds

    def has_refused(self) -> bool:
        """Return True if the process refused its first start. It has said why, and would refuse again."""
        return self.starts == 1 and self.process is not None and self.process.poll() == REFUSED

    def has_exited(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def restart_if_dead(self) -> None:
        """Restart the process if it has died, after a pause that doubles each time it dies early."""
        if self.process is not None and (code := self.process.poll()) is not None:
            stable = time.monotonic() - self.started_at > STABLE_SECONDS
            self.pause = FIRST_PAUSE_SECONDS if stable else min(self.pause * 2, MAX_PAUSE_SECONDS)
            wait = 0.0 if stable else self.pause
            self.delay_start(wait)
            self.process = None
            log.warning("process_died", process=self.name, exit_code=code, restart_in_seconds=wait)
        if self.process is None and time.monotonic() >= self.restart_at:
            self.start()
            log.info("process_restarted" if self.starts > 1 else "process_started", process=self.name)

    def stop(self) -> None:
        """Send SIGTERM and wait for the end; after `stop_seconds` send SIGKILL."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            log.warning("process_killed", process=self.name, after_seconds=self.stop_seconds)
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Keeps processes running until SIGTERM, SIGINT or SIGHUP, or until one of them refuses its settings."""

    def __init__(self) -> None:
        self.processes: list[SupervisedProcess] = []
        self.stopping = False  # not an Event, whose lock may be held by the code that a signal interrupts
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request_stop)
        if sys.platform != "win32":
            signal.signal(signal.SIGHUP, self._request_stop)  # sent when the terminal is closed

    def start(self, process: SupervisedProcess) -> None:
        process.start()
        self.processes.append(process)

    def start_later(self, process: SupervisedProcess, seconds: float) -> None:
        """Have `run` start the process after so many seconds."""
        process.delay_start(seconds)
        self.processes.append(process)

    def run(self) -> None:
        """Restart processes that die, until a signal asks to stop. Raises SystemExit; see `refuse_if_refused`."""
        while not self.stopping:
            self.refuse_if_refused()
            for process in self.processes:
                process.restart_if_dead()
            time.sleep(CHECK_SECONDS)

    def refuse_if_refused(self) -> None:
        """Raise SystemExit if a process refused its first start, with the exit code that it had."""
        if any(process.has_refused() for process in self.processes):
            raise SystemExit(REFUSED)

    def close(self) -> None:
        """Stop the API, then the workers, then the rest in reverse order of their start.

        The workers stop at the same time, because each may have to write a checkpoint.
        """
        for process in reversed(self.processes):
            if process.name == "api":
                process.stop()
        workers = [process for process in self.processes if process.name.startswith("worker")]
        stopping = [threading.Thread(target=worker.stop) for worker in workers]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        for process in reversed(self.processes):
            process.stop()

    def _request_stop(self, *_: object) -> None:
        self.stopping = True
