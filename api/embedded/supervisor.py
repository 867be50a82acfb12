"""Runs the parts of the service as children, starts again what dies, and stops all of them in order."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from core.runtime.processes import with_starter

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
STEADY_SECONDS = 30.0  # a part that ran so long starts again without a pause
LOOK_SECONDS = 0.2

log = structlog.get_logger()


@dataclass
class Part:
    """A process to keep running. `stop_seconds`: how long it may take to end before it is killed."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: float = 10.0

    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS

    def start(self) -> None:
        environment = {**os.environ, **self.environment, **with_starter()}
        # A session of its own: Ctrl-C on the terminal reaches the supervisor alone, which stops the parts in order.
        self.process = subprocess.Popen(self.command, env=environment, start_new_session=True)
        self.started_at = time.monotonic()
        self.start_again_at = 0.0

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def keep(self) -> None:
        """Start it again, after a pause that grows while it keeps dying."""
        if self.process is not None and (code := self.process.poll()) is not None:
            steady = time.monotonic() - self.started_at > STEADY_SECONDS
            self.pause = FIRST_PAUSE_SECONDS if steady else min(self.pause * 2, LONGEST_PAUSE_SECONDS)
            self.start_again_at = time.monotonic() + (0 if steady else self.pause)
            self.process = None
            log.warning("part_died", part=self.name, exit_code=code, again_in_seconds=0 if steady else self.pause)
        if self.process is None and time.monotonic() >= self.start_again_at:
            self.start()
            log.info("part_started_again", part=self.name)

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            log.warning("part_killed", part=self.name, after_seconds=self.stop_seconds)
            self.process.kill()
            self.process.wait()


class Supervisor:
    """`run` keeps the parts going until SIGTERM or SIGINT; `parts` start in order and stop in reverse."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.stopping = False  # no Event: its lock may be held by the very code that a signal interrupts
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        if sys.platform != "win32":
            signal.signal(signal.SIGHUP, self._stop)  # the terminal was closed

    def start(self, part: Part) -> None:
        part.start()
        self.parts.append(part)

    def run(self) -> None:
        while not self.stopping:
            for part in self.parts:
                part.keep()
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Stop every part; the workers beside each other, for each may have a checkpoint to write."""
        waiting = [threading.Thread(target=part.stop) for part in self.parts if part.name.startswith("worker")]
        for part in reversed(self.parts):
            if part.name == "api":
                part.stop()
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join()
        for part in reversed(self.parts):
            part.stop()

    def _stop(self, *_: object) -> None:
        self.stopping = True
