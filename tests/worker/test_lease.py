"""Work that is stopped, stuck, out of time or without room, in real working processes where it takes one."""

import errno
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from obstore.exceptions import GenericError
from redis import Redis
from support import pictures, rows, stuck
from support.postgres import PostgresServer
from support.waiting import until
from support.workplace import Workplace

from core.jobs import leases, outcomes, requests
from core.jobs.reconciler import count_claimable
from core.schemas.jobs import JobKind, JobStatus, Queue
from core.schemas.learning import LearningParams
from core.storage.database import Database
from worker import child_process, runner
from worker.child_process import Child
from worker.errors import is_storage_full
from worker.job_context import JobContext
from worker.lease import TimeUp
from worker.runner import HANDLERS, Runner
from worker.settings import WorkerSettings

HEARTBEAT = 0.1


@pytest.fixture
def settings(sqlite_database: Database, valkey, tmp_path: Path) -> WorkerSettings:
    url = sqlite_database.engine.url.render_as_string(hide_password=False)
    return WorkerSettings(
        data_dir=tmp_path, database_url=url, broker_url=valkey.url, device="cpu", heartbeat_seconds=HEARTBEAT
    )


def work(settings: WorkerSettings, monkeypatch, handler, queue: Queue = Queue.TRAIN) -> None:
    """Do the one job that waits, by this handler."""
    monkeypatch.setitem(HANDLERS, JobKind.TRAIN, handler)
    monkeypatch.setattr(runner, "choose_device", lambda _: torch.device("cpu"))  # it sets torch's threads, once
    worker = Runner(settings, queue, "w", lambda: False)
    assert worker.run_next(lambda _: None)
    worker._database.dispose()


def test_a_job_is_canceled_in_the_midst_of_a_long_stretch(
    settings: WorkerSettings, sqlite_database: Database, redis: Redis, monkeypatch
) -> None:
    job_id = rows.accept(sqlite_database)
    seen: list[JobStatus] = []

    def handler(desk: JobContext) -> None:
        desk.add_artifact("a.png", "image/png", b"x")
        requests.cancel(sqlite_database, job_id)
        until(lambda: rows.row(sqlite_database, job_id).status == JobStatus.CANCELED)  # as one great forward pass
        seen.append(JobStatus.CANCELED)
        desk.succeed()

    work(settings, monkeypatch, handler)
    assert seen == [JobStatus.CANCELED]
    assert rows.row(sqlite_database, job_id).artifacts == []
    assert [path for path in (settings.data_dir / "blobs").rglob("*") if path.is_file()] == []
    names = [fields[b"name"] for _, fields in redis.xrange(f"genconvnet:events:{job_id}")]  # type: ignore[union-attr]
    assert names.count(b"done") == 1


def test_a_job_whose_time_is_up_fails_and_keeps_its_checkpoint(
    settings: WorkerSettings, sqlite_database: Database, monkeypatch
) -> None:
    job_id = rows.accept(sqlite_database, rows.NewJob(JobKind.TRAIN, dict(rows.PARAMS), time_limit_seconds=0.3))

    def handler(desk: JobContext) -> None:
        desk.checkpoint("checkpoint", b"c")
        for _ in range(3000):
            desk.lease.check()
            time.sleep(0.02)

    work(settings, monkeypatch, handler)
    job = rows.row(sqlite_database, job_id)
    assert (job.status, job.error["type"]) == (JobStatus.FAILED, "time-limit")
    assert job.checkpoint is not None


def test_learning_whose_time_is_up_keeps_what_it_learned_to_the_end(workplace: Workplace) -> None:
    given = {"image_size": 16, "layers": [{"filters": 4, "kernel_size": 5}], "iterations": 100_000, "seed": 1}
    params = LearningParams.model_validate({**given, "num_chains": 2, "langevin_steps": 1, "checkpoint_seconds": 600})
    dataset_id = workplace.add_dataset(a=pictures.png(16, 16))
    new = rows.NewJob(JobKind.TRAIN, params.model_dump(mode="json"), dataset_id=dataset_id, time_limit_seconds=1.0)
    with pytest.raises(TimeUp):
        workplace.work(new)
    assert rows.row(workplace.database, workplace.desk.claim.job_id).checkpoint is not None


@pytest.mark.parametrize("full", ["disk", "row"])
def test_a_job_without_room_is_tried_again_and_then_fails_with_the_reason(
    settings: WorkerSettings, sqlite_database: Database, monkeypatch, full: str
) -> None:
    job_id = rows.accept(sqlite_database)

    def handler(desk: JobContext) -> None:
        desk.add_artifact("a.png", "image/png", b"x")
        if full == "disk":
            with Path("/dev/full").open("wb", buffering=0) as device:
                device.write(b"x")
        with desk.database.write() as session:
            session.connection().exec_driver_sql("PRAGMA max_page_count = 1")
            session.connection().exec_driver_sql("CREATE TABLE too_much AS SELECT randomblob(10000000) AS x")

    for attempt in range(1, leases.MAX_FAILURES + 1):
        work(settings, monkeypatch, handler)
        job = rows.row(sqlite_database, job_id)
        assert (job.status, job.attempt, job.error["type"]) == (JobStatus.RUNNING, attempt, "storage-full")
        assert job.lease_until - job.leased_at > 5, "after a pause"
        rows.expire(sqlite_database, job_id)
    assert outcomes.end_lost(sqlite_database) == [job_id]
    assert rows.row(sqlite_database, job_id).error["type"] == "storage-full"
    assert [path for path in (settings.data_dir / "blobs").rglob("*") if path.is_file()] == []


def test_a_full_disk_is_known_by_what_the_store_says() -> None:
    assert is_storage_full(OSError(errno.ENOSPC, "full"))
    assert is_storage_full(GenericError("Unable to copy data to file a#1: No space left on device (os error 28)"))
    assert not is_storage_full(GenericError("Permission denied (os error 13)"))
    assert not is_storage_full(OSError(errno.EIO, "broken"))


def test_a_database_that_is_away_costs_no_strike(
    postgres_server: PostgresServer, settings: WorkerSettings, monkeypatch
) -> None:
    url = postgres_server.emptied()
    database = Database(url)
    held_on = settings.model_copy(update={"database_url": url})
    job_id = rows.accept(database)

    def handler(desk: JobContext) -> None:
        name = database.engine.url.database
        assert name is not None
        postgres_server.execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        threading.Timer(1.5, postgres_server.execute, ("ALTER DATABASE {} ALLOW_CONNECTIONS true", name)).start()
        desk.database.dispose()
        desk.flush()

    monkeypatch.setattr(runner, "AWAY_SECONDS", 0.1)
    work(held_on, monkeypatch, handler)
    job = rows.row(database, job_id)
    assert (job.status, job.failures, job.worker) == (JobStatus.RUNNING, 0, None)
    assert job.error is not None
    assert job.error["type"] == "unavailable"
    database.dispose()


def test_work_that_is_stuck_is_killed_and_tried_again(
    settings: WorkerSettings, sqlite_database: Database, monkeypatch
) -> None:
    job_id = rows.accept(sqlite_database)
    monkeypatch.setattr(child_process, "_main", stuck.main)
    worker = Child(settings.model_copy(update={"stall_seconds": 0.5}), Queue.TRAIN, "w", sqlite_database)
    worker.start()
    first = worker._process.pid
    worker.work(job_id)
    job = rows.row(sqlite_database, job_id)
    assert (job.status, job.failures, job.worker) == (JobStatus.RUNNING, 1, None)
    assert job.error is not None
    assert job.error["type"] == "stalled"
    assert count_claimable(sqlite_database, Queue.TRAIN) == 1
    assert worker._process.pid != first, "another stands ready"
    worker.close()


def test_a_working_process_that_was_stopped_before_it_took_a_job_is_killed(
    settings: WorkerSettings, sqlite_database: Database
) -> None:
    job_id = rows.accept(sqlite_database)
    worker = Child(settings.model_copy(update={"lease_seconds": 1.0}), Queue.TRAIN, "w", sqlite_database)
    worker.start()
    first = psutil.Process(worker._process.pid)
    first.suspend()
    worker.work(job_id)
    assert not first.is_running()
    assert rows.row(sqlite_database, job_id).status == JobStatus.QUEUED
    assert worker._process.is_alive(), "another stands ready"
    worker.close()


def test_a_working_process_that_was_stopped_is_killed_when_its_lease_is_over(
    settings: WorkerSettings, sqlite_database: Database, monkeypatch
) -> None:
    job_id = rows.accept(sqlite_database)
    monkeypatch.setattr(child_process, "_main", stuck.main)
    worker = Child(settings.model_copy(update={"lease_seconds": 1.0}), Queue.TRAIN, "w", sqlite_database)
    worker.start()
    first = psutil.Process(worker._process.pid)

    def stop() -> None:
        until(lambda: rows.row(sqlite_database, job_id).status == JobStatus.RUNNING)
        first.send_signal(signal.SIGSTOP)

    stopping = threading.Thread(target=stop)
    stopping.start()
    worker.work(job_id)
    stopping.join()
    assert not first.is_running()
    assert rows.row(sqlite_database, job_id).failures == 1
    assert count_claimable(sqlite_database, Queue.TRAIN) == 1
    worker.close()
