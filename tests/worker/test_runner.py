"""How jobs end: canceled, out of time, without space, without a database."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from redis import Redis
from support import pictures, rows
from support.postgres import PostgresServer
from support.waiting import until
from support.worker_harness import WorkerHarness

from core.jobs import leases, outcomes, requests
from core.schemas.jobs import JobKind, JobStatus, Queue
from core.schemas.learning import LearningParams
from core.storage.database import Database
from worker import runner
from worker.job_context import JobContext
from worker.lease_renewer import TimeLimitReached
from worker.runner import HANDLERS, JobRunner
from worker.settings import WorkerSettings


def run_one(settings: WorkerSettings, monkeypatch, handler) -> None:
    """Run the only waiting job with this handler."""
    monkeypatch.setitem(HANDLERS, JobKind.TRAIN, handler)
    monkeypatch.setattr(runner, "choose_device", lambda _: torch.device("cpu"))  # it may set torch's threads only once
    one = JobRunner(settings, Queue.TRAIN, "w", lambda: False)
    assert one.run_next(lambda _: None)
    one.close()


def stored_files(settings: WorkerSettings) -> list[Path]:
    return [path for path in (settings.data_dir / "blobs").rglob("*") if path.is_file()]


def test_a_canceled_job_ends_although_its_work_is_in_a_long_computation(
    worker_settings: WorkerSettings, sqlite_database: Database, redis: Redis, monkeypatch
) -> None:
    job_id = rows.accept(sqlite_database)
    seen: list[JobStatus] = []

    def handler(context: JobContext) -> None:
        context.add_artifact("a.png", "image/png", b"x")
        requests.cancel(sqlite_database, job_id)
        until(lambda: rows.row(sqlite_database, job_id).status == JobStatus.CANCELED)  # the long computation
        seen.append(JobStatus.CANCELED)
        context.succeed()

    run_one(worker_settings, monkeypatch, handler)
    assert seen == [JobStatus.CANCELED]
    assert rows.row(sqlite_database, job_id).artifacts == []
    assert stored_files(worker_settings) == []
    names = [fields[b"name"] for _, fields in redis.xrange(f"genconvnet:events:{job_id}")]  # type: ignore[union-attr]
    assert names.count(b"done") == 1


def test_a_job_fails_at_its_time_limit_and_keeps_its_checkpoint(
    worker_settings: WorkerSettings, sqlite_database: Database, monkeypatch
) -> None:
    job_id = rows.accept(sqlite_database, rows.NewJob(JobKind.TRAIN, dict(rows.PARAMS), time_limit_seconds=0.3))

    def handler(context: JobContext) -> None:
        context.store_checkpoint("checkpoint", b"c")
        for _ in range(3000):
            context.renewer.check_stop()
            time.sleep(0.02)

    run_one(worker_settings, monkeypatch, handler)
    job = rows.row(sqlite_database, job_id)
    assert (job.status, job.error["type"]) == (JobStatus.FAILED, "time-limit")
    assert job.checkpoint is not None


def test_training_stores_a_checkpoint_at_its_time_limit(harness: WorkerHarness) -> None:
    given = {"image_size": 16, "layers": [{"filters": 4, "kernel_size": 5}], "iterations": 100_000, "seed": 1}
    params = LearningParams.model_validate({**given, "num_chains": 2, "langevin_steps": 1, "checkpoint_seconds": 600})
    dataset_id = harness.add_dataset(a=pictures.png(16, 16))
    new = rows.NewJob(JobKind.TRAIN, params.model_dump(mode="json"), dataset_id=dataset_id, time_limit_seconds=2)
    with pytest.raises(TimeLimitReached):
        harness.work(new)
    assert rows.row(harness.database, harness.context.lease.job_id).checkpoint is not None


@pytest.mark.parametrize("full", ["disk", "database"])
def test_a_job_without_space_is_tried_again_and_then_fails_with_the_reason(
    worker_settings: WorkerSettings, sqlite_database: Database, monkeypatch, full: str
) -> None:
    job_id = rows.accept(sqlite_database)

    def handler(context: JobContext) -> None:
        context.add_artifact("a.png", "image/png", b"x")
        if full == "disk":
            with Path("/dev/full").open("wb", buffering=0) as device:
                device.write(b"x")
        with context.database.write() as session:
            session.connection().exec_driver_sql("PRAGMA max_page_count = 1")
            session.connection().exec_driver_sql("CREATE TABLE too_much AS SELECT randomblob(10000000) AS x")

    for attempt in range(1, leases.MAX_FAILURES + 1):
        run_one(worker_settings, monkeypatch, handler)
        job = rows.row(sqlite_database, job_id)
        assert (job.status, job.attempt, job.error["type"]) == (JobStatus.RUNNING, attempt, "storage-full")
        assert job.lease_until - job.leased_at > 5, "the next attempt comes after a pause"
        rows.expire(sqlite_database, job_id)
    assert outcomes.end_lost(sqlite_database) == [job_id]
    assert rows.row(sqlite_database, job_id).error["type"] == "storage-full"
    assert stored_files(worker_settings) == []


def test_an_unavailable_database_does_not_count_as_a_failure_of_the_job(
    postgres_server: PostgresServer, worker_settings: WorkerSettings, monkeypatch
) -> None:
    url = postgres_server.emptied()
    database = Database(url)
    name = database.engine.url.database
    assert name is not None
    job_id = rows.accept(database)
    waits: list[float] = []

    def allow_connections(seconds: float) -> None:
        waits.append(seconds)
        postgres_server.execute("ALTER DATABASE {} ALLOW_CONNECTIONS true", name)

    def handler(context: JobContext) -> None:
        postgres_server.execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        context.database.dispose()
        context.flush_progress()

    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=allow_connections))
    run_one(worker_settings.model_copy(update={"database_url": url}), monkeypatch, handler)
    assert waits == [runner.DATABASE_RETRY_SECONDS]
    job = rows.row(database, job_id)
    assert (job.status, job.failures, job.worker) == (JobStatus.RUNNING, 0, None)
    assert job.error is not None
    assert job.error["type"] == "unavailable"
    database.dispose()


@pytest.mark.parametrize(
    ("error", "type_"),
    [
        (MemoryError("of Python"), "out-of-memory"),
        (torch.OutOfMemoryError("of CUDA"), "out-of-memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "out-of-memory"),
        (KeyError("a bug"), "internal-error"),
    ],
)
def test_a_job_fails_with_the_type_of_its_error(
    worker_settings: WorkerSettings, sqlite_database: Database, monkeypatch, error: Exception, type_: str
) -> None:
    job_id = rows.accept(sqlite_database)

    def handler(_: JobContext) -> None:
        raise error

    run_one(worker_settings, monkeypatch, handler)
    job = rows.row(sqlite_database, job_id)
    assert (job.status, job.error["type"]) == (JobStatus.FAILED, type_)
    assert str(error) in job.error["detail"]
