"""The machine has too little: no room on the disk, no memory for a job."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from chaos.requests import Asking
from chaos.rig import Rig
from support import pictures

ROOM_BYTES = 24 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room, unmounted at the end."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "none", str(folder)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            yield folder
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
            return
        pytest.skip(f"no file system can be mounted here, even as root: {done.stderr.strip()}")
    pytest.skip("only root can mount the small file system that this test fills")


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not a byte is left on the file system of `folder` until the block ends."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    try:
        yield
    finally:
        filler.unlink()


def test_a_full_disk_refuses_cleanly_and_goes_on_when_there_is_room(
    small_disk: Path, start_rig: Callable[..., Rig]
) -> None:
    rig = start_rig(folder=small_disk, GENCONVNET_MIN_FREE_BYTES="0")  # so that writing itself is what fails
    ask = Asking(rig)
    job_id = ask.train(iterations=1500)
    body = {"kind": "train", "dataset_id": ask.upload(), "preset": "quick"}
    ask.learning(job_id)
    with full(small_disk):
        files = {"images": ("stripes.png", pictures.stripes(), "image/png")}
        answers = [ask.client.post("/v1/datasets", files=files), ask.client.post("/v1/jobs", json=body)]
        time.sleep(4)
        answers += [ask.client.post("/v1/datasets", files=files), ask.client.post("/v1/jobs", json=body)]
        for answer in answers:
            assert answer.status_code in (503, 507), answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert "room" in answer.json()["detail"], answer.text
        assert ask.client.get("/healthz").status_code == 200
    rig.wait_until_ready()
    ask.succeeded(job_id)
    ask.succeeded(ask.train())
    assert not [path for path in (rig.data_dir / "blobs").rglob("*#*") if path.is_file()]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process's memory")
def test_a_job_without_memory_fails_and_its_worker_does_the_next(rig: Rig) -> None:
    ask = Asking(rig)
    model_id = ask.succeeded(ask.train())["model_id"]
    children = [pid for name in ("worker-sample-1", "worker-sample-2") for pid in rig.children(name)]
    for pid in children:
        limited = psutil.Process(pid)
        size = limited.memory_info().vms + (64 << 20)
        limited.rlimit(psutil.RLIMIT_AS, (size, size))
    large = {"count": 1, "width": 8192, "height": 8192, "steps": 1, "seed": 1}
    job = ask.ended(ask.accepted({"kind": "sample", "model_id": model_id, "params": large}))
    assert job["status"] == "failed", job
    assert job["error"]["type"] in ("out-of-memory", "worker-lost"), job
    small = {"count": 1, "width": 32, "height": 32, "steps": 5, "seed": 1}
    ask.succeeded(ask.accepted({"kind": "sample", "model_id": model_id, "params": small}))
