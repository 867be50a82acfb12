"""A training job of several processes, from its row to its results (worker/training_processes.py)."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from io import BytesIO
from types import SimpleNamespace

import pytest
import torch
from redis import Redis
from support import pictures, rows
from support.preloaded import ForkedRanks
from support.worker_harness import WorkerHarness

from core.engine import ranks
from core.jobs import requests
from core.pictures.origin import read_origin
from core.schemas.jobs import JobKind, JobStatus, Queue
from core.schemas.learning import LearningParams
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.synthesis.trained_model import TrainedModel
from worker import device, runner, train
from worker.runner import JobRunner
from worker.settings import WorkerSettings

ITERATIONS, LOST_AFTER = 5, 2
CORES = 8


def other_processes():
    return [one for one in multiprocessing.active_children() if one.name == "genconvnet-rank"]


@pytest.fixture
def _own_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def accept_job(worker_settings: WorkerSettings, sqlite_database: Database, redis: Redis) -> Callable[[int], str]:
    """Return a function that creates a training job of so many processes."""
    harness = WorkerHarness(sqlite_database, Blobs(worker_settings.blobs_url), redis, worker_settings.data_dir)

    def accept(processes: int) -> str:
        given = {"image_size": 16, "layers": [{"filters": 4, "kernel_size": 5}], "iterations": ITERATIONS, "seed": 1}
        params = LearningParams.model_validate(
            {**given, "num_chains": 2, "langevin_steps": 1, "processes": processes}
        ).model_dump(mode="json")
        dataset_id = harness.add_dataset(a=pictures.png(16, 16))
        return rows.accept(sqlite_database, rows.NewJob(JobKind.TRAIN, params, dataset_id=dataset_id))

    return accept


@pytest.fixture
def start_runner(
    worker_settings: WorkerSettings, monkeypatch, _own_threads: None
) -> Iterator[Callable[[int], JobRunner]]:
    """Return a function that starts a worker with so many threads."""
    monkeypatch.setattr(ranks, "multiprocessing", ForkedRanks())
    monkeypatch.setattr(runner, "choose_device", lambda _: torch.device("cpu"))  # it may set torch's threads only once
    with ExitStack() as stack:

        def start(threads: int) -> JobRunner:
            settings = worker_settings.model_copy(update={"threads": threads})
            return stack.enter_context(closing(JobRunner(settings, Queue.TRAIN, "w", lambda: False)))

        yield start


def test_a_job_that_loses_a_process_goes_on_from_its_checkpoint_with_the_rest(
    accept_job: Callable[[int], str], start_runner: Callable[[int], JobRunner], sqlite_database: Database, monkeypatch
) -> None:
    job_id, one = accept_job(2), start_runner(2)
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
    assert one.run_next(lambda _: None)
    job = rows.row(sqlite_database, job_id)
    assert (job.status, job.error["type"], job.metrics["processes"]) == (JobStatus.RUNNING, "process-lost", 2)
    assert one.run_next(lambda _: None), "it is claimed again at once"
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


def test_the_results_are_drawn_by_one_process_on_all_threads_and_say_how_many_learned(
    accept_job: Callable[[int], str],
    start_runner: Callable[[int], JobRunner],
    sqlite_database: Database,
    worker_settings: WorkerSettings,
    monkeypatch,
) -> None:
    drawn_by: list[tuple[int, int]] = []
    draw = train._TrainingRun._results

    def draw_and_note(run: train._TrainingRun, model: TrainedModel) -> Iterable[torch.Tensor]:
        drawn_by.append((1 + len(other_processes()), torch.get_num_threads()))
        return draw(run, model)

    monkeypatch.setattr(train._TrainingRun, "_results", draw_and_note)
    job_id = accept_job(2)
    assert start_runner(2).run_next(lambda _: None)
    job = rows.row(sqlite_database, job_id)
    assert (job.status, job.metrics["processes"]) == (JobStatus.SUCCEEDED, 2)
    assert drawn_by == [(1, 2)]
    (picture,) = [one for one in job.artifacts if one.name == "synthesized-000.png"]
    assert read_origin(BytesIO(Blobs(worker_settings.blobs_url).get(picture.blob))).processes == 2


def test_a_processor_has_at_most_a_process_for_each_of_its_threads(
    accept_job: Callable[[int], str], start_runner: Callable[[int], JobRunner], sqlite_database: Database
) -> None:
    job_id = accept_job(2)
    assert start_runner(1).run_next(lambda _: None)
    job = rows.row(sqlite_database, job_id)
    assert (job.status, job.metrics["processes"]) == (JobStatus.SUCCEEDED, 1)
    assert job.metrics["remarks"][0] == "learned by 1 process of 2: the worker has 1 processor thread"


@pytest.mark.parametrize(("threads", "asked", "others"), [(4, 63, 3), (4, 2, 2), (1, 63, 0), (None, 63, CORES - 1)])
def test_other_processes_divide_the_processor(
    worker_settings: WorkerSettings, monkeypatch, threads: int | None, asked: int, others: int
) -> None:
    monkeypatch.setattr(device, "core_count", lambda: CORES)
    settings = worker_settings.model_copy(update={"threads": threads})
    with device.other_devices(torch.device("cpu"), settings, asked) as found:
        assert found == [torch.device("cpu")] * others


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
