"""Of several devices each working process owns one."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NAMES = ("GPU-a", "GPU-b")
OWN = """
import sys
from pathlib import Path
from worker.device import take_one
print(take_one(Path(sys.argv[1]), sys.argv[2:]), flush=True)
sys.stdin.read()
"""

Worker = subprocess.Popen[str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], tuple[Worker, int]]]:
    """A process that has taken one, and which."""
    started: list[Worker] = []

    def begin() -> tuple[Worker, int]:
        command = [sys.executable, "-P", "-c", OWN, str(tmp_path / "gpus"), *NAMES]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(worker)
        assert worker.stdout is not None
        return worker, int(worker.stdout.readline())

    yield begin
    for worker in started:
        worker.kill()
        worker.communicate()


def test_each_process_owns_one_and_a_killed_ones_is_free(start: Callable[[], tuple[Worker, int]]) -> None:
    (first, of_first), (_, of_second) = start(), start()
    assert (of_first, of_second) == (0, 1)
    (_, of_third), (_, of_fourth) = start(), start()
    assert (of_third, of_fourth) == (0, 1), "where all are taken they are shared out evenly"
    first.kill()
    first.wait()
    assert start()[1] == 0
    assert start()[1] == 0, "a third sharer of the first"
