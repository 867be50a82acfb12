"""Work processes that hang are killed, and their jobs are tried again."""

import errno
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import psutil
import pytest
from structlog.testing import capture_logs
from support import rows, work_processes
from support.preloaded import fork_server
from support.waiting import until

from core.jobs.reconciler import count_claimable
from core.schemas.jobs import JobStatus, Queue
from core.storage.database import Database
from worker import work_process
from worker.settings import WorkerSettings
from worker.work_process import WorkProcess, WorkProcessRefused

Start = Callable[..., WorkProcess]


@pytest.fixture
def start(worker_settings: WorkerSettings, sqlite_database: Database, monkeypatch) -> Iterator[Start]:
    """Start a work process with this main function and these settings.

    Unless it is `spawned`, as those of workers are, it need not import what this process has imported.
    """
    started: list[WorkProcess] = []

    def start(main: Callable[..., None], spawned: bool = False, **settings: float) -> WorkProcess:
        monkeypatch.setattr(work_process, "_main", main)
        process = WorkProcess(worker_settings.model_copy(update=settings), Queue.TRAIN, "w", sqlite_database)
        if not spawned:
            process._context = fork_server()  # type: ignore[assignment]
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.close()


def test_a_process_whose_work_stalls_is_killed_and_the_job_is_tried_again(
    start: Start, sqlite_database: Database
) -> None:
    job_id = rows.accept(sqlite_database)
    process = start(work_processes.stall_once, spawned=True, stall_seconds=0.5)
    first = process._process.pid
    process.run_jobs()
    job = rows.row(sqlite_database, job_id)
    assert (job.status, job.failures, job.worker) == (JobStatus.RUNNING, 1, None)
    assert job.error is not None
    assert job.error["type"] == "stalled"
    assert count_claimable(sqlite_database, Queue.TRAIN) == 1
    assert process._process.pid != first, "a new process has started"


def test_the_job_of_a_killed_process_is_free_at_once_and_fails_after_three_kills(
    start: Start, sqlite_database: Database, worker_settings: WorkerSettings
) -> None:
    job_id = rows.accept(sqlite_database)
    process = start(work_processes.claim_and_sleep, lease_seconds=600)  # no lease expires meanwhile

    def kill() -> None:
        until(work_processes.claimed(worker_settings, process._process.pid).exists)
        process._process.kill()

    for _ in range(3):
        assert count_claimable(sqlite_database, Queue.TRAIN) == 1
        killing = threading.Thread(target=kill)
        killing.start()
        process.run_jobs()
        killing.join()
    job = rows.row(sqlite_database, job_id)
    assert (job.status, job.failures) == (JobStatus.FAILED, 3)
    assert job.error is not None
    assert job.error["type"] == "worker-lost"
    assert "3 tries" in job.error["detail"]
    assert process._process.is_alive(), "a new process has started"


def test_a_suspended_process_without_a_job_is_killed(start: Start, sqlite_database: Database) -> None:
    job_id = rows.accept(sqlite_database)
    process = start(work_processes.claim_and_sleep, lease_seconds=0.3)
    first = psutil.Process(process._process.pid)
    first.suspend()
    process.run_jobs()
    assert not first.is_running()
    assert rows.row(sqlite_database, job_id).status == JobStatus.QUEUED
    assert process._process.is_alive(), "a new process has started"


def test_a_suspended_process_is_killed_when_its_lease_has_expired(start: Start, sqlite_database: Database) -> None:
    job_id = rows.accept(sqlite_database)
    process = start(work_processes.claim_and_sleep, lease_seconds=0.5)
    first = psutil.Process(process._process.pid)

    def suspend() -> None:
        until(lambda: rows.row(sqlite_database, job_id).status == JobStatus.RUNNING)
        first.send_signal(signal.SIGSTOP)

    suspending = threading.Thread(target=suspend)
    suspending.start()
    process.run_jobs()
    suspending.join()
    assert not first.is_running()
    assert rows.row(sqlite_database, job_id).failures == 1
    assert count_claimable(sqlite_database, Queue.TRAIN) == 1


def test_a_process_that_does_not_start_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_process, "START_SECONDS", 0.5)
    with pytest.raises(RuntimeError, match=r"did not start \(exit -9\)"):
        start(work_processes.hang_at_the_start)


def test_a_process_that_does_not_end_is_killed_and_replaced(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_process, "END_SECONDS", 0.5)
    process = start(work_processes.hang_at_the_end)
    first = psutil.Process(process._process.pid)
    process.run_jobs()
    assert not first.is_running()
    assert process._process.is_alive(), "a new process has started"


def test_a_machine_without_room_for_another_process_costs_time_alone(
    start: Start, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = rows.accept(sqlite_database)
    process = start(work_processes.claim_and_sleep)
    first = process._process
    first.kill()
    first.join()
    with monkeypatch.context() as full:
        full.setattr(type(first), "start", refuse_to_fork)
        for _ in range(2):
            process.run_jobs()
    assert process._process is first
    process.run_jobs()
    assert process._process.is_alive(), "a new process has started"
    assert rows.row(sqlite_database, job_id).status == JobStatus.QUEUED


def refuse_to_fork(_: object) -> None:
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def test_a_process_that_ends_before_it_is_ready_raises(start: Start) -> None:
    with pytest.raises(RuntimeError, match=r"did not start \(exit 1\)"):
        start(work_processes.fail)


def test_a_process_that_refuses_its_settings_says_so_once(
    start: Start, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENCONVNET_LOG_FORMAT", "console")
    with pytest.raises(WorkProcessRefused):
        start(work_processes.refuse, spawned=True)
    assert capfd.readouterr().err == "genconvnet worker: GENCONVNET_DEVICE: there is no such device\n"


def test_plain_lines_and_errors_of_a_work_process_are_logged(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    with capture_logs() as logged:
        process = start(work_processes.write_like_a_library, spawned=True)
        until(lambda: [line for line in logged if line["event"] == "output"])
        process._pipe.send(work_process.RUN)
        process._process.join()
    (line,) = [line for line in logged if line["event"] == "output"]
    assert (line["process"], line["text"]) == ("work", "a line of a library")
    written = capfd.readouterr().err
    assert "a line of a library" not in written
    assert "uncaught_exception" in written
    assert "Process genconvnet-work:" not in written, "multiprocessing prints nothing of its own"


def test_a_stopping_worker_takes_no_more_jobs(start: Start, sqlite_database: Database) -> None:
    job_id = rows.accept(sqlite_database)
    with closing(start(work_processes.claim_and_sleep)) as process:
        process.stop()
        process.run_jobs()
    assert rows.row(sqlite_database, job_id).status == JobStatus.QUEUED
