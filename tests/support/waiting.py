"""Waiting for what other threads, processes and servers do.

No test measures time: what must happen is waited for, far longer than a loaded machine needs, and how soon it happens
is a matter of benchmarks/.
"""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 90.0
PAUSE_SECONDS = 0.02

Found = TypeVar("Found")


def until(
    holds: Callable[[], Found], seconds: float = PATIENCE_SECONDS, *, told: Callable[[], object] = lambda: None
) -> Found:
    """What `holds` gives, once that is true.

    Raises AssertionError, with what `told` gives, where it is not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {told()}")
        time.sleep(PAUSE_SECONDS)
    return found
