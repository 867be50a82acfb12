"""A training job of several processes, from its row to its results (worker/training_processes.py)."""

import multiprocessing
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from redis import Redis
from support import pictures, rows
from support.worker_harness import WorkerHarness

from core.jobs import requests
from core.schemas.jobs import JobKind, JobStatus, Queue
from core.schemas.learning import LearningParams
from core.storage.blobs import Blobs
from core.storage.database import Database
from worker import device, runner, train
from worker.runner import JobRunner
from worker.settings import WorkerSettings

ITERATIONS, LOST_AFTER = 5, 2


def other_processes():
    return [one for one in multiprocessing.active_children() if one.name == "genconvnet-rank"]


@pytest.fixture
def _own_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_own_threads")
def test_a_job_that_loses_a_process_goes_on_from_its_checkpoint_with_the_rest(
    worker_settings: WorkerSettings, sqlite_database: Database, redis: Redis, monkeypatch
) -> None:
    harness = WorkerHarness(sqlite_database, Blobs(worker_settings.blobs_url), redis, worker_settings.data_dir)
    given = {"image_size": 16, "layers": [{"filters": 4, "kernel_size": 5}], "iterations": ITERATIONS, "seed": 1}
    params = LearningParams.model_validate({**given, "num_chains": 2, "langevin_steps": 1, "processes": 2})
    new = rows.NewJob(
        JobKind.TRAIN, params.model_dump(mode="json"), dataset_id=harness.add_dataset(a=pictures.png(16, 16))
    )
    job_id = rows.accept(sqlite_database, new)
    seen: list[tuple[int, int, int, int]] = []
    save_when_due = train._TrainingRun._save_when_due

    def save_and_lose_the_other(run: train._TrainingRun) -> None:
        save_when_due(run)
        attempt, iteration = run.context.lease.attempt, run.learner.state.iteration
        seen.append((attempt, run.processes.count, torch.get_num_threads(), iteration))
        if (attempt, iteration) == (1, LOST_AFTER):
            run._save()
            (other,) = other_processes()
            other.kill()

    monkeypatch.setattr(train._TrainingRun, "_save_when_due", save_and_lose_the_other)
    monkeypatch.setattr(runner, "choose_device", lambda _: torch.device("cpu"))  # it may set torch's threads only once
    two_threads = worker_settings.model_copy(update={"threads": 2})
    one = JobRunner(two_threads, Queue.TRAIN, "w", lambda: False)
    assert one.run_next(lambda _: None)
    job = rows.row(sqlite_database, job_id)
    assert (job.status, job.error["type"], job.metrics["processes"]) == (JobStatus.RUNNING, "process-lost", 2)
    assert one.run_next(lambda _: None), "it is claimed again at once"
    one.close()
    job = rows.row(sqlite_database, job_id)
    assert (job.status, job.error, job.attempt) == (JobStatus.SUCCEEDED, None, 2)
    assert seen == [
        (1, 2, 1, 1),
        (1, 2, 1, 2),
        *((2, 1, 2, iteration) for iteration in range(LOST_AFTER + 1, ITERATIONS + 1)),
    ]
    assert job.metrics["processes"] == 1
    said = "learned by 1 process of 2: in the attempt before, process 2 of 2 was lost: it was killed"
    assert job.metrics["remarks"][0].startswith(said)
    assert len(requests.metrics(sqlite_database, job_id)) == ITERATIONS
    assert other_processes() == []


@pytest.mark.parametrize(
    ("name", "own", "count", "others"), [("auto", 1, 2, [0, 2]), ("auto", 0, 9, [1, 2]), ("cuda:1", 1, 2, [])]
)
def test_other_processes_have_other_gpus(
    worker_settings: WorkerSettings, monkeypatch, name: str, own: int, count: int, others: list[int]
) -> None:
    """PyTorch pretends that there are three GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"GPU-{number}"))
    settings = worker_settings.model_copy(update={"device": name})
    for _ in range(2):  # the locks of the first time are free again
        with device.other_devices(torch.device("cuda", own), settings, count) as found:
            assert [one.index for one in found] == others
            with device.other_devices(torch.device("cuda", own), settings, 1) as shared:
                assert [one.index for one in shared] == others[:1]
