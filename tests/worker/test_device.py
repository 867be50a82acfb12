"""The choice of the device (worker/device.py); PyTorch pretends that there are two GPUs."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from core.runtime.startup import CannotStart
from worker import device, gpu_locks
from worker.settings import WorkerSettings

UUIDS = ("GPU-a", "GPU-b")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    flags = torch.backends.cudnn.flags(enabled=True)  # restores them in the end
    monkeypatch.setattr(gpu_locks, "_locks", [])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(UUIDS))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=UUIDS[number]))
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    with flags:
        yield
    for lock in gpu_locks._locks:
        os.close(lock)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("named", [0, 1])
def test_a_named_gpu_is_locked_like_a_chosen_one(tmp_path: Path, named: int) -> None:
    assert device._lock_gpu(torch.device("cuda", named), tmp_path) == torch.device("cuda", named)
    assert device._lock_gpu(torch.device("cuda"), tmp_path) == torch.device("cuda", 1 - named)
    again = device._lock_gpu(torch.device("cuda", named), tmp_path)
    assert again == torch.device("cuda", named), "a GPU that is named is shared"
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_cuda_without_a_gpu_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(RuntimeError, match="PyTorch sees no GPU"):
        device._lock_gpu(torch.device(name), tmp_path)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("name", ["quantum", "cuda:2"])
def test_a_device_that_does_not_exist_is_refused(
    worker_settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for setter in ("set_num_threads", "set_num_interop_threads"):  # the second can be called once in a process
        monkeypatch.setattr(torch, setter, lambda _: None)
    with pytest.raises(CannotStart, match="GENCONVNET_DEVICE"):
        device.choose_device(worker_settings.model_copy(update={"device": name}))


def test_processors_that_multiply_bfloat16_by_other_instructions_are_of_different_kinds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = []
    for names in ((), ("avx512_bf16",), ("avx512_bf16", "amx_bf16")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda names=names: dict.fromkeys(names, True))
        kinds.append(device.device_kind(torch.device("cpu")))
    vectors = f"cpu {torch.backends.cpu.get_cpu_capability()}"
    assert kinds == [vectors, f"{vectors} avx512_bf16", f"{vectors} amx_bf16 avx512_bf16"]
