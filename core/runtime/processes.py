"""Child processes that end with their parent, the imports of a process, and the number of usable cores."""

import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.5
STARTER = "GENCONVNET_DIE_WITH_PARENT"  # an environment variable: the id of the process to end with


@contextmanager
def importing() -> Iterator[None]:
    """Switch the search for garbage off while the block imports modules, which saves a fifth of their time.

    What modules are made of, 100,000s of objects, stays until the process ends, and is not searched later either.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def die_with_parent(signal_number: signal.Signals = signal.SIGKILL, parent: int | None = None) -> None:
    """Have this process receive `signal_number` when its parent has ended, for whatever reason.

    Pass `parent`, the parent's process id, if the parent may have ended already. Linux sends the signal itself; on
    other systems a thread polls the parent's id.
    """
    parent = os.getppid() if parent is None else parent
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) == 0:
            if os.getppid() != parent:  # the parent ended before the call
                os.kill(os.getpid(), signal_number)
            return
    threading.Thread(target=_watch, args=(parent, signal_number), name="parent-watch", daemon=True).start()


def die_with_starter() -> bool:
    """Call `die_with_parent` with SIGTERM if the process that started this one has asked for it by `with_starter`.

    Returns True if it has.
    """
    starter = os.environ.get(STARTER)
    if starter:
        die_with_parent(signal.SIGTERM, int(starter))
    return bool(starter)


def with_starter() -> dict[str, str]:
    """Return environment variables for a child that is to end with this process, even if it is still importing."""
    return {STARTER: str(os.getpid())}


def _watch(parent: int, signal_number: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal_number)


def core_count() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":  # run another program, which ends with its parent: the setting survives exec
    die_with_parent()
    os.execv(sys.argv[1], sys.argv[1:])
