"""Of several devices each working process owns one."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from worker import device

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


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that has them, as PyTorch tells of it."""
    flags = torch.backends.cudnn.flags(enabled=True)  # to come back to
    monkeypatch.setattr(device, "_owned", [])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(NAMES))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=NAMES[number]))
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    with flags:
        yield
    for lock in device._owned:
        os.close(lock)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("named", [0, 1])
def test_a_gpu_that_is_named_is_taken_like_one_that_is_chosen(tmp_path: Path, named: int) -> None:
    assert device._own_gpu(torch.device("cuda", named), tmp_path) == torch.device("cuda", named)
    assert device._own_gpu(torch.device("cuda"), tmp_path) == torch.device("cuda", 1 - named)
    assert device._own_gpu(torch.device("cuda", named), tmp_path) == torch.device("cuda", named), (
        "who insists shares it"
    )
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("asked", ["cuda", "cuda:0"])
def test_cuda_without_a_gpu_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(RuntimeError, match="PyTorch sees no GPU"):
        device._own_gpu(torch.device(asked), tmp_path)
