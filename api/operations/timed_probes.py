"""Runs calls that may hang, in parallel and with a timeout."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Any

Probes = Mapping[str, Callable[[], Any]]


class TimedProbes:
    """Runs named calls in daemon threads, which do not delay the end of the process.

    A call that hangs keeps its thread. Until it ends, no second one is started under its name.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Future[Any]] = {}

    def run(self, probes: Probes, timeout_seconds: float) -> dict[str, Any]:
        """Return, by name, what each call returns or raises, and a TimeoutError for those that take too long."""
        futures = self._start_all(probes)
        wait_for(futures.values(), timeout=timeout_seconds)
        return {name: _outcome(future, timeout_seconds) for name, future in futures.items()}

    async def run_async(self, probes: Probes, timeout_seconds: float) -> dict[str, Any]:
        """Do the same as `run` on the event loop, so that no thread of the server's pool is held."""
        futures = self._start_all(probes)
        waiting = [asyncio.wrap_future(future) for future in futures.values()]
        for future in waiting:
            # Retrieve the exception of a call that ends too late: asyncio warns of those never retrieved.
            future.add_done_callback(lambda ended: ended.exception())
        await asyncio.wait(waiting, timeout=timeout_seconds)
        return {name: _outcome(future, timeout_seconds) for name, future in futures.items()}

    def _start_all(self, probes: Probes) -> dict[str, Future[Any]]:
        return {name: self._start(name, probe) for name, probe in probes.items()}

    def _start(self, name: str, probe: Callable[[], Any]) -> Future[Any]:
        with self._lock:
            running = self._running.get(name)
            if running is not None and not running.done():
                return running
            future: Future[Any] = Future()
            self._running[name] = future
        threading.Thread(target=_run, args=(future, probe), name=f"probe-{name}", daemon=True).start()
        return future


def _run(future: Future[Any], probe: Callable[[], Any]) -> None:
    try:
        future.set_result(probe())
    except Exception as error:  # any error is the probe's outcome
        future.set_exception(error)


def _outcome(future: Future[Any], timeout_seconds: float) -> Any:
    if not future.done():
        return TimeoutError(f"no answer within {timeout_seconds:g} s")
    return future.exception() or future.result()
