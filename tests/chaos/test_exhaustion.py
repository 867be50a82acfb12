"""The disk is full, or there is no memory for a job."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from chaos.rig import SAMPLE_1, SAMPLE_2, TRAIN, Rig
from support import pictures
from support.models import model_file

DISK_BYTES = 24 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, unmounted at the end."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            yield folder
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
            return
        pytest.skip(f"no file system can be mounted here, even as root: {done.stderr.strip()}")
    pytest.skip("only root can mount the small file system that this test fills")


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave not a byte on the file system of `folder` until the block ends."""
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


def test_a_full_disk_refuses_requests_and_the_job_goes_on_when_there_is_room(
    small_disk: Path, start_rig: Callable[..., Rig]
) -> None:
    # Nothing is refused for want of room in advance: writing itself fails.
    rig = start_rig(folder=small_disk, only=(TRAIN,), GENCONVNET_MIN_FREE_BYTES="0")
    client = rig.client
    body = {"kind": "train", "dataset_id": client.upload(), "preset": "quick"}
    files = {"images": ("stripes.png", pictures.stripes(), "image/png")}
    job_id = client.train(iterations=120)
    client.running(job_id)
    with rig.slow_training(), full(small_disk):
        answers = [client.http.post("/v1/datasets", files=files), client.http.post("/v1/jobs", json=body)]
        time.sleep(4)  # a checkpoint is due, and fails
        answers += [client.http.post("/v1/datasets", files=files), client.http.post("/v1/jobs", json=body)]
        for answer in answers:
            assert answer.status_code in (503, 507), answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert "disk is full" in answer.json()["detail"], answer.text
        assert client.http.get("/healthz").status_code == 200
    rig.wait_until_ready()
    client.succeeded(job_id)
    client.succeeded(client.train())
    assert not [path for path in (rig.data_dir / "blobs").rglob("*#*") if path.is_file()]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process's memory")
def test_a_job_without_memory_fails_and_its_worker_does_the_next(rig: Rig) -> None:
    client = rig.client
    model_id = client.import_model(model_file())
    large = {"count": 1, "width": 8192, "height": 8192, "steps": 1, "seed": 1}
    with little_memory(pid for name in (SAMPLE_1, SAMPLE_2) for pid in rig.children(name)):
        job = client.finished(client.post_job({"kind": "sample", "model_id": model_id, "params": large}))
    assert job["status"] == "failed", job
    assert job["error"]["type"] in ("out-of-memory", "worker-lost"), job
    small = {"count": 1, "width": 32, "height": 32, "steps": 5, "seed": 1}
    client.succeeded(client.post_job({"kind": "sample", "model_id": model_id, "params": small}))


@contextmanager
def little_memory(pids: Iterable[int]) -> Iterator[None]:
    """Allow the processes 64 MiB of address space more than they have."""
    limits = {}
    for process in map(psutil.Process, pids):
        limits[process] = _, hard = process.rlimit(psutil.RLIMIT_AS)
        process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + (64 << 20), hard))
    assert limits
    yield
    for process, limit in limits.items():
        with suppress(psutil.NoSuchProcess):  # killed for want of memory
            process.rlimit(psutil.RLIMIT_AS, limit)
