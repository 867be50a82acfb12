"""Poll the queue for a while after each job, because the broker delivers the next message late, and now and then.

Celery waits for messages in intervals of two seconds, and a worker that was busy when an interval began receives
nothing before it ends. Polling bridges this time. A worker that never hears from its broker again still finds the jobs.
"""

import threading
import time
from collections.abc import Callable

from core.runtime.background import BackgroundThread

POLL_INTERVAL_SECONDS = 0.1
POLL_DURATION_SECONDS = 2.5  # longer than Celery's interval


class QueuePoller:
    """A thread that calls `poll` every POLL_INTERVAL_SECONDS for a while after each `start_polling`.

    Otherwise it calls it every `idle_seconds`.
    """

    def __init__(self, poll: Callable[[], None], idle_seconds: float) -> None:
        self._poll, self._idle_seconds = poll, idle_seconds
        self._until, self._stopping = 0.0, False
        self._changed = threading.Condition()
        # Whatever goes wrong once must not end it: it may be all that tells the worker of its jobs.
        self._thread = BackgroundThread("queue-poller", self._poll_once, expected=(Exception,))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Wait for the end of the present call of `poll`, and call it no more."""
        self._thread.request_stop()
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.stop()

    def start_polling(self) -> None:
        """Poll for POLL_DURATION_SECONDS from now."""
        with self._changed:
            self._until = time.monotonic() + POLL_DURATION_SECONDS
            self._changed.notify()

    def _poll_once(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or time.monotonic() < self._until, self._idle_seconds)
        if not self._thread.wait(POLL_INTERVAL_SECONDS):
            self._poll()
