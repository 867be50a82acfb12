"""A background thread that repeats one piece of work until it is stopped."""

import threading
from collections.abc import Callable
from contextvars import copy_context

import structlog

log = structlog.get_logger()


class BackgroundThread:
    """A daemon thread that calls `work` again and again, pausing `every_seconds` in between, until `stop`.

    The first call comes `first_after_seconds` after `start`. Errors of the types in `expected` (a database or broker
    that is away) are logged, and the work is repeated after the usual pause. Any other error ends the thread and
    reaches `threading.excepthook`. Log lines carry the context variables that were bound when the thread was started.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        *,
        every_seconds: float = 0.0,
        first_after_seconds: float = 0.0,
        expected: tuple[type[Exception], ...] = (),
    ) -> None:
        self._name, self._work, self._expected = name, work, expected
        self._every_seconds, self._first_after_seconds = every_seconds, first_after_seconds
        self._stop_requested = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name=self._name, daemon=True)
        self._thread.start()

    def request_stop(self) -> None:
        """Let the thread end after the present call of `work`, without waiting for it; `work` may call this itself."""
        self._stop_requested.set()

    def stop(self, join_seconds: float | None = None) -> None:
        """Request a stop and wait for the thread's end, at most `join_seconds` if given. Not started, it is ended."""
        self.request_stop()
        if self._thread is not None:
            self._thread.join(join_seconds)

    def wait(self, seconds: float) -> bool:
        """Sleep for `seconds`, or until a stop is requested. Return True if it is."""
        return self._stop_requested.wait(seconds)

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        pause = self._first_after_seconds
        while not self.wait(pause):
            pause = self._every_seconds
            try:
                self._work()
            except self._expected as error:
                log.warning("background_work_failed", thread=self._name, error=str(error))
