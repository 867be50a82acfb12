"""Questions that may hang, asked beside each other and answered in time."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Any


class TimedProbes:
    """Asks several at once. One that hangs is left behind, and not asked again before it has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[Any]] = {}

    def run(self, questions: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, Any]:
        """What each answers or raises; TimeoutError for those that do not within `seconds`."""
        asked = self._begin_all(questions)
        wait_for(asked.values(), timeout=seconds)
        return {name: _outcome(future, seconds) for name, future in asked.items()}

    async def run_async(self, questions: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, Any]:
        """The same without a thread of those that requests may hold."""
        asked = self._begin_all(questions)
        waiting = [asyncio.wrap_future(future) for future in asked.values()]
        for one in waiting:
            one.add_done_callback(lambda answered: answered.exception())  # also of those that answer too late
        await asyncio.wait(waiting, timeout=seconds)
        return {name: _outcome(future, seconds) for name, future in asked.items()}

    def _begin_all(self, questions: Mapping[str, Callable[[], Any]]) -> dict[str, Future[Any]]:
        return {name: self._begin(name, question) for name, question in questions.items()}

    def _begin(self, name: str, question: Callable[[], Any]) -> Future[Any]:
        with self._lock:
            found = self._under_way.get(name)
            if found is not None and not found.done():
                return found
            future: Future[Any] = Future()
            self._under_way[name] = future
        # A daemon, which the end of the process does not wait for.
        threading.Thread(target=_answer, args=(future, question), name=f"ask-{name}", daemon=True).start()
        return future


def _answer(future: Future[Any], question: Callable[[], Any]) -> None:
    try:
        future.set_result(question())
    except Exception as error:  # whatever it is, it is the answer
        future.set_exception(error)


def _outcome(future: Future[Any], seconds: float) -> Any:
    if not future.done():
        return TimeoutError(f"no answer within {seconds:g} s")
    return future.exception() or future.result()
