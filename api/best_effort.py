"""Calls that a response does not depend on, such as notifying workers and publishing events."""

import queue
import threading
from collections.abc import Callable

import structlog

from core.runtime.background import BackgroundThread

WAIT_SECONDS = 0.5  # usually long enough for the call to end before the response is sent
MAX_QUEUED = 1000

log = structlog.get_logger()


class BestEffortCalls:
    """A thread that runs submitted calls one after another and logs their errors.

    If a call hangs, for example because the broker does not answer, each request waits only `WAIT_SECONDS`. If
    `MAX_QUEUED` calls are queued, further ones are dropped.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[Callable[[], object], threading.Event]] = queue.Queue(MAX_QUEUED)
        BackgroundThread("best-effort-calls", self._run_next).start()

    def submit(self, call: Callable[[], object]) -> None:
        """Queue `call` and wait until it has ended, but at most `WAIT_SECONDS`."""
        done = threading.Event()
        try:
            self._queue.put_nowait((call, done))
        except queue.Full:
            log.warning("best_effort_call_dropped", reason="the queue is full")
            return
        done.wait(WAIT_SECONDS)

    def _run_next(self) -> None:
        call, done = self._queue.get()
        try:
            call()
        except Exception:  # no error may end the thread
            log.exception("best_effort_call_failed")
        done.set()
