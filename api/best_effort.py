"""What an answer does not depend on: telling others, for which a request waits only a moment."""

import queue
import threading
from collections.abc import Callable

import structlog

from core.runtime.background import BackgroundThread

WAIT_SECONDS = 0.5  # so that, as a rule, news is out before the answer
MAX_WAITING = 1000

log = structlog.get_logger()


class BestEffortCalls:
    """A thread that does one thing after the other, each best effort; where too many wait, the newest is left undone.

    A broker that does not answer, or a name that is slow to resolve, costs the request `WAIT_SECONDS`.
    """

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Callable[[], object], threading.Event]] = queue.Queue(MAX_WAITING)
        BackgroundThread("best-effort-calls", self._do_next).start()

    def submit(self, work: Callable[[], object]) -> None:
        done = threading.Event()
        try:
            self._waiting.put_nowait((work, done))
        except queue.Full:
            log.warning("not_told", reason="too much waits to be told")
            return
        done.wait(WAIT_SECONDS)

    def _do_next(self) -> None:
        work, done = self._waiting.get()
        try:
            work()
        except Exception:
            log.exception("not_told")  # whatever it was, the next is told all the same
        done.set()
