"""Waiting for what other threads, processes and servers do.

No test measures time: each waits far longer than a loaded machine needs. How fast something is, benchmarks/ measures.
"""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 240
PAUSE_SECONDS = 0.02

Found = TypeVar("Found")


def until(
    condition: Callable[[], Found],
    seconds: float = PATIENCE_SECONDS,
    *,
    describe: Callable[[], object] = lambda: None,
    pause_seconds: float = PAUSE_SECONDS,
) -> Found:
    """Call `condition` until it returns something true; return that.

    Raises AssertionError with what `describe` returns if that takes longer than `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {describe()}")
        time.sleep(pause_seconds)
    return found
