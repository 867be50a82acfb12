"""Busy workers of one queue share the cores of their machine (worker/shared_cores.py)."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support import rows
from support.waiting import until

from core.schemas.jobs import JobKind, JobStatus, Queue
from core.storage.database import Database
from worker import runner
from worker.job_context import JobContext
from worker.runner import HANDLERS, JobRunner
from worker.settings import WorkerSettings

BUSY = """
import sys
from pathlib import Path
from worker.shared_cores import SharedCores
cores = SharedCores(Path(sys.argv[1]), int(sys.argv[2]))
with cores.busy():
    print(cores.share(), flush=True)
    while sys.stdin.readline():
        print(cores.share(), flush=True)
"""


class BusyProcess:
    """A process that is a busy worker."""

    def __init__(self, path: Path, cores: int) -> None:
        command = [sys.executable, "-P", "-c", BUSY, str(path), str(cores)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()  # it is busy

    def share(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._read()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _read(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


Start = Callable[[int], BusyProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a busy worker that may use this many cores."""
    started: list[BusyProcess] = []

    def start(cores: int) -> BusyProcess:
        started.append(BusyProcess(tmp_path / "cores-train.lock", cores))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def test_busy_workers_divide_the_cores_until_one_of_them_is_killed(start: Start) -> None:
    first = start(5)
    assert first.share() == 5
    second = start(5)
    until(lambda: (first.share(), second.share()) == (3, 2))
    first.kill()
    until(lambda: second.share() == 5)
    third = start(5)
    until(lambda: (third.share(), second.share()) == (3, 2))


def test_each_of_more_workers_than_cores_has_one(start: Start) -> None:
    processes = [start(2) for _ in range(3)]
    until(lambda: [process.share() for process in processes] == [1, 1, 1])
    processes[0].kill()
    processes[1].kill()
    until(lambda: processes[2].share() == 2)


@pytest.fixture
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_as_before")
def test_a_job_uses_the_cores_that_no_other_busy_worker_needs(
    start: Start, worker_settings: WorkerSettings, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def threads_of_next_step(context: JobContext) -> int:
        context.renewer.check_stop()
        return torch.get_num_threads()

    def handler(context: JobContext) -> None:
        assert torch.get_num_threads() == 4
        other = start(4)
        until(lambda: threads_of_next_step(context) == 2)
        other.kill()
        until(lambda: threads_of_next_step(context) == 4)
        context.succeed()

    job_id = rows.accept(sqlite_database)
    monkeypatch.setitem(HANDLERS, JobKind.TRAIN, handler)
    monkeypatch.setattr(runner, "core_count", lambda: 4)
    monkeypatch.setattr(runner, "choose_device", lambda _: torch.device("cpu"))  # it may set torch's threads only once
    one = JobRunner(worker_settings.model_copy(update={"threads": None}), Queue.TRAIN, "w", lambda: False)
    assert one.run_next(lambda _: None)
    assert rows.row(sqlite_database, job_id).status == JobStatus.SUCCEEDED
    assert start(4).share() == 4, "a worker without a job needs no cores"
    one.close()


@pytest.mark.usefixtures("threads_as_before")
def test_a_job_keeps_the_number_of_threads_of_the_settings(
    start: Start, worker_settings: WorkerSettings, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(context: JobContext) -> None:
        assert start(4).share() == 4
        context.renewer.check_stop()
        assert torch.get_num_threads() == 3
        context.succeed()

    job_id = rows.accept(sqlite_database)
    torch.set_num_threads(3)
    monkeypatch.setitem(HANDLERS, JobKind.TRAIN, handler)
    monkeypatch.setattr(runner, "choose_device", lambda _: torch.device("cpu"))
    one = JobRunner(worker_settings.model_copy(update={"threads": 3}), Queue.TRAIN, "w", lambda: False)
    assert one.run_next(lambda _: None)
    assert rows.row(sqlite_database, job_id).status == JobStatus.SUCCEEDED
    one.close()
