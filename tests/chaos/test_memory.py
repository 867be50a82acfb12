"""There is no memory for a job."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
from chaos.rig import SAMPLE_1, SAMPLE_2, Rig
from support.models import model_file


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
