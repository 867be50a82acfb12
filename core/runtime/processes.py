"""A child process that does not outlive its parent; and the cores that a process may use."""

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.5
_STARTER = "GENCONVNET_DIE_WITH_PARENT"  # its process id


def die_with_parent(signal_number: signal.Signals = signal.SIGKILL, parent: int | None = None) -> None:
    """Have this process receive `signal_number` when its parent is gone, however that ended.

    `parent` is the parent's process id, where it is known that it may have gone already. Linux tells the child itself;
    elsewhere a thread looks whether the parent has changed.
    """
    parent = os.getppid() if parent is None else parent
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) == 0:
            if os.getppid() != parent:  # it went in between
                os.kill(os.getpid(), signal_number)
            return
    threading.Thread(target=_watch, args=(parent, signal_number), name="parent-watch", daemon=True).start()


def die_with_starter() -> None:
    """As `die_with_parent`, by SIGTERM, where whoever started this process has asked for it (`with_starter`)."""
    if starter := os.environ.get(_STARTER):
        die_with_parent(signal.SIGTERM, int(starter))


def with_starter() -> dict[str, str]:
    """What to add to the environment of a process that is to end with this one, even while it is still importing."""
    return {_STARTER: str(os.getpid())}


def _watch(parent: int, signal_number: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal_number)


def core_count() -> int:
    """Of the processor, as far as this process may use it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":  # run another program as one that goes with its parent: the request outlives the exec
    die_with_parent()
    os.execv(sys.argv[1], sys.argv[1:])
