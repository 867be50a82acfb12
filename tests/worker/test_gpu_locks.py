"""Processes share the GPUs of a machine evenly (worker/gpu_locks.py)."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.gpu_locks import lock_least_shared

NAMES = ("GPU-a", "GPU-b")
LOCK = """
import sys
from pathlib import Path
from worker.gpu_locks import lock_least_shared
print(lock_least_shared(Path(sys.argv[1]), sys.argv[2:]), flush=True)
sys.stdin.read()
"""

Process = subprocess.Popen[str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], tuple[Process, int]]]:
    """Start a process that locks a GPU; return it and the index of the GPU."""
    started: list[Process] = []

    def start() -> tuple[Process, int]:
        command = [sys.executable, "-P", "-c", LOCK, str(tmp_path / "gpus"), *NAMES]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_each_process_locks_the_least_shared_gpu_until_it_ends(start: Callable[[], tuple[Process, int]]) -> None:
    (first, of_first), (_, of_second) = start(), start()
    assert (of_first, of_second) == (0, 1)
    (_, of_third), (_, of_fourth) = start(), start()
    assert (of_third, of_fourth) == (0, 1), "if all are locked they are shared evenly"
    first.kill()
    first.wait()
    assert start()[1] == 0, "the lock of a killed process is free"
    assert start()[1] == 0, "the third process on the first GPU"


def test_without_names_there_is_nothing_to_lock(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="empty"):
        lock_least_shared(tmp_path, [])
