"""Looking for the next job where the broker is slow to tell of it.

Celery waits for messages two seconds at a time, and a worker that was busy when such a wait began hears of none before
it is over. So for a little longer than that, after each job, the worker looks at the rows itself.
"""

import threading
import time
from collections.abc import Callable

from core.runtime.background import BackgroundThread

LOOK_SECONDS = 0.1  # between two looks
LINGER_SECONDS = 2.5  # after the last job


class QueuePoller:
    """A thread that calls `look` again and again for a while after each `linger`."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._until = 0.0
        self._changed = threading.Condition()
        self._thread = BackgroundThread("queue-poller", self._poll)
        self._thread.start()

    def linger(self) -> None:
        with self._changed:
            self._until = time.monotonic() + LINGER_SECONDS
            self._changed.notify()

    def _poll(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: time.monotonic() < self._until)
        self._thread.wait(LOOK_SECONDS)
        self._look()
