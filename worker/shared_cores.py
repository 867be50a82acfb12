"""Share a machine's cores among those workers of a queue that are busy now, by file locks.

This module does not import torch.
"""

import fcntl
import hashlib
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_SECONDS = 0.1  # interval at which a busy worker looks whether others are busy
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # containers of a machine have it in common
_MAX_CORES = 1 << 16


class SharedCores:
    """The `cores` that this process may use, divided evenly among the machine's busy workers.

    A busy worker locks one of as many slots as there are cores: a byte of a file, which stays empty. The system unlocks
    it when the process ends, however it ends. Several machines, and workers that are bound to other cores, may share
    the file: they use other bytes. In one process a file must be opened once, because closing it unlocks its bytes.
    """

    def __init__(self, path: Path, cores: int) -> None:
        """Open the file, and make it if there is none. Raises OSError if it cannot be opened or locked."""
        self._cores = cores
        self._first = _number_of_machine() * _MAX_CORES
        self._slot: int | None = None
        self._share, self._look_at = cores, 0.0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._is_locked(0)

    def close(self) -> None:
        os.close(self._file)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count this worker among the busy ones."""
        self._take_slot()
        self._look_at = 0.0
        try:
            yield
        finally:
            if self._slot is not None:
                self._unlock(self._slot)
                self._slot = None

    def share(self) -> int:
        """Return how many cores a busy worker may use: all of them if no other is busy, and at least one.

        It may be called often, because it looks at the locks only every LOOK_SECONDS.
        """
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._share = self._find_share()
        return self._share

    def _find_share(self) -> int:
        if self._slot is None:
            self._take_slot()
        if self._slot is None:  # there are more busy workers than cores
            return 1
        others = [slot for slot in range(self._cores) if slot != self._slot and self._is_locked(slot)]
        share, left = divmod(self._cores, len(others) + 1)
        rank = sum(other < self._slot for other in others)
        return share + (rank < left)

    def _take_slot(self) -> None:
        """Lock the first free slot, if any. A slot at which another worker looks in this moment may seem locked."""
        self._slot = next((slot for slot in range(self._cores) if self._lock(slot, fcntl.LOCK_EX)), None)

    def _is_locked(self, slot: int) -> bool:
        """Return True if another process has locked the slot."""
        if not self._lock(slot, fcntl.LOCK_SH):
            return True
        self._unlock(slot)
        return False

    def _lock(self, slot: int, kind: int) -> bool:
        try:
            fcntl.lockf(self._file, kind | fcntl.LOCK_NB, 1, self._first + slot)
        except (BlockingIOError, PermissionError):  # POSIX allows both if another process holds the lock
            return False
        return True

    def _unlock(self, slot: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._first + slot)


def _number_of_machine() -> int:
    """Return a number of 40 bits for this machine and the cores that this process may use on it."""
    machine = _BOOT_ID.read_text() if _BOOT_ID.exists() else platform.node()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return int.from_bytes(hashlib.sha256(f"{machine} {cores}".encode()).digest()[:5])
