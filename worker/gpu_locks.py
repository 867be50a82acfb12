"""Share the machine's GPUs among processes, by file locks. This module does not import torch."""

import fcntl
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_locks: list[int] = []  # file descriptors of this process's locks, open until it ends


def lock_least_shared(folder: Path, names: Sequence[str]) -> int:
    """Lock the one of `names` that the fewest processes have locked, for the life of this process; return its index.

    The locks are files in `folder`. The system releases them when their process ends, however it ends. Machines and
    containers may share the folder, so names must be unique worldwide. Raises ValueError if `names` is empty.
    """
    index, lock = _lock_least_shared(folder, names)
    _locks.append(lock)
    return index


@contextmanager
def least_shared(folder: Path, names: Sequence[str], count: int) -> Iterator[list[int]]:
    """Lock up to `count` different ones of `names`, the least shared first, for a while; yield their indices."""
    chosen: list[int] = []
    locks: list[int] = []
    try:
        while len(chosen) < min(count, len(names)):
            left = [index for index in range(len(names)) if index not in chosen]
            place, lock = _lock_least_shared(folder, [names[index] for index in left])
            chosen.append(left[place])
            locks.append(lock)
        yield chosen
    finally:
        for lock in locks:
            os.close(lock)


def _lock_least_shared(folder: Path, names: Sequence[str]) -> tuple[int, int]:
    """Return the index of the name that was locked, and the lock's file descriptor."""
    if not names:
        raise ValueError("names is empty: there is nothing to lock")
    folder.mkdir(parents=True, exist_ok=True)
    for sharer in itertools.count():
        for index, name in enumerate(names):
            lock = os.open(folder / f"{name}.{sharer}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            return index, lock
    raise AssertionError("itertools.count ended")
