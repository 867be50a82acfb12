"""Notifications may be lost; the reconciler sends them again."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis, RedisError
from sqlalchemy import text
from support import rows
from support.valkey import Valkey, messages
from support.waiting import until

from core.broker.notifier import JobNotifier
from core.jobs import leases, outcomes, requests
from core.jobs.reconciler import Reconciler, count_claimable, take_unnotified
from core.schemas.jobs import JobStatus, Queue
from core.storage.database import Database

OFTEN = 0.05  # seconds between two rounds
RACERS = 4
KEDA = Path(__file__).parents[3] / "deploy" / "kubernetes" / "components" / "keda"


@pytest.fixture
def notifier(valkey: Valkey) -> Iterator[JobNotifier]:
    opened = JobNotifier(valkey.url)
    yield opened
    opened.close()


@pytest.fixture
def own_notifier(own_valkey: Valkey) -> Iterator[JobNotifier]:
    opened = JobNotifier(own_valkey.url)
    yield opened
    opened.close()


def test_one_round_notifies_of_every_job_that_waits_without_a_message(
    database: Database, notifier: JobNotifier, redis: Redis
) -> None:
    model_id = rows.add_model(database)
    waiting = [rows.accept(database) for _ in range(3)]
    sampling = rows.accept(database, rows.sample(model_id))
    Reconciler(database, notifier, rows.LONG).reconcile()
    assert sorted(messages(redis)) == sorted(waiting)
    assert messages(redis, Queue.SAMPLE) == [sampling]


def test_messages_do_not_pile_up_over_many_rounds(database: Database, notifier: JobNotifier, redis: Redis) -> None:
    for _ in range(3):
        rows.accept(database)
    reconciler = Reconciler(database, notifier, 0.0)  # at every round the last notification is long ago
    for _ in range(20):
        reconciler.reconcile()
    assert len(messages(redis)) == 3


def test_only_one_of_many_reconcilers_notifies_of_a_job(
    sqlite_database: Database, notifier: JobNotifier, redis: Redis
) -> None:
    job_id = rows.accept(sqlite_database)
    for _ in range(5):
        Reconciler(sqlite_database, notifier, rows.LONG).reconcile()
    assert messages(redis) == [job_id]


def test_a_lost_notification_is_sent_again(database: Database, notifier: JobNotifier, redis: Redis) -> None:
    job_id = rows.accept(database)
    reconciler = Reconciler(database, notifier, rows.LONG)
    reconciler.reconcile()
    redis.delete(Queue.TRAIN.value)  # a worker took it and died
    reconciler.reconcile()
    assert messages(redis) == []  # too early
    notified_at = rows.row(database, job_id).notified_at
    assert notified_at is not None
    rows.alter(database, job_id, notified_at=notified_at - rows.LONG)
    reconciler.reconcile()
    assert messages(redis) == [job_id]


def test_notifications_are_sent_again_to_a_wiped_broker(
    database: Database, notifier: JobNotifier, redis: Redis
) -> None:
    waiting = [rows.accept(database) for _ in range(3)]
    reconciler = Reconciler(database, notifier, OFTEN)
    for _ in range(3):
        reconciler.reconcile()
        assert sorted(messages(redis)) == sorted(waiting)
        redis.flushall()
        time.sleep(2 * OFTEN)


def test_a_job_whose_worker_was_lost_is_notified_again(database: Database, notifier: JobNotifier, redis: Redis) -> None:
    lease = rows.claimed(database)
    reconciler = Reconciler(database, notifier, rows.LONG)
    reconciler.reconcile()
    assert messages(redis) == []
    outcomes.abandon(database, lease)
    reconciler.reconcile()
    assert messages(redis) == [lease.job_id]


def test_a_round_ends_jobs_that_are_lost_for_good_without_notifying(
    database: Database, notifier: JobNotifier, redis: Redis
) -> None:
    failed, canceled = rows.accept(database), rows.accept(database)
    for job_id in (failed, canceled):
        assert rows.claim(database).job_id == job_id
        rows.expire(database, job_id)
        rows.alter(database, job_id, failures=leases.MAX_FAILURES if job_id == failed else 1)
        if job_id == canceled:
            requests.cancel(database, job_id)
    Reconciler(database, notifier, rows.LONG).reconcile()
    states = [rows.row(database, job_id).status for job_id in (failed, canceled)]
    assert states == [JobStatus.FAILED, JobStatus.CANCELED]
    assert messages(redis) == []


@contextmanager
def _reconciling(database: Database, notifier: JobNotifier) -> Iterator[None]:
    reconciler = Reconciler(database, notifier, OFTEN)
    reconciler.start()
    try:
        yield
    finally:
        reconciler.stop()


def test_the_thread_reconciles_until_it_is_stopped(
    sqlite_database: Database, notifier: JobNotifier, redis: Redis
) -> None:
    with _reconciling(sqlite_database, notifier):
        for count in (1, 2):
            rows.accept(sqlite_database)
            until(lambda count=count: len(messages(redis)) == count)
    rows.accept(sqlite_database)
    time.sleep(3 * OFTEN)
    assert len(messages(redis)) == 2


def test_notifications_resume_once_the_broker_is_back(
    sqlite_database: Database, own_notifier: JobNotifier, own_valkey: Valkey
) -> None:
    assert own_notifier.notify(Queue.TRAIN, "job_before")
    own_valkey.stop()
    assert not own_notifier.notify(Queue.TRAIN, "job_while")
    with pytest.raises(RedisError):
        own_notifier.pending(Queue.TRAIN)
    job_id = rows.accept(sqlite_database)
    with _reconciling(sqlite_database, own_notifier), own_valkey.client() as client:
        time.sleep(3 * OFTEN)
        own_valkey.start()
        client.delete(Queue.TRAIN.value)  # messages kept in its file
        until(lambda: job_id in messages(client))
        assert own_notifier.notify(Queue.TRAIN, "job_after")
        assert "job_after" in messages(client)


def test_a_reconciler_outlives_a_database_that_is_away(notifier: JobNotifier, redis: Redis, tmp_path: Path) -> None:
    missing = Database(f"sqlite:///{tmp_path / 'not-migrated.sqlite3'}")
    with _reconciling(missing, notifier):
        time.sleep(3 * OFTEN)
        missing.migrate()
        job_id = rows.accept(missing)
        until(lambda: messages(redis) == [job_id])
    missing.dispose()


def test_count_claimable_counts_the_jobs_that_could_be_claimed(database: Database) -> None:
    assert count_claimable(database, Queue.TRAIN) == 0
    first, second = rows.accept(database), rows.accept(database)
    assert (count_claimable(database, Queue.TRAIN), count_claimable(database, Queue.SAMPLE)) == (
        2,
        0,
    )
    rows.claim(database)
    assert count_claimable(database, Queue.TRAIN) == 1
    rows.expire(database, first)
    assert count_claimable(database, Queue.TRAIN) == 2
    requests.cancel(database, second)
    assert count_claimable(database, Queue.TRAIN) == 1


def test_take_unnotified_returns_each_job_once_within_its_seconds(database: Database) -> None:
    accepted = [rows.accept(database) for _ in range(4)]
    assert sorted(take_unnotified(database, Queue.TRAIN, rows.LONG, 3)) == sorted(accepted[:3])  # the oldest
    assert take_unnotified(database, Queue.TRAIN, rows.LONG, 3) == accepted[3:]
    assert take_unnotified(database, Queue.TRAIN, rows.LONG, 3) == []
    time.sleep(0.1)
    assert sorted(take_unnotified(database, Queue.TRAIN, 0.05, 10)) == sorted(accepted)
    assert take_unnotified(database, Queue.SAMPLE, 0.0, 10) == []


def test_racing_reconcilers_take_each_job_once(database: Database) -> None:
    accepted = [rows.accept(database) for _ in range(20)]
    together = threading.Barrier(RACERS)

    def take(_: Any) -> list[str]:
        together.wait()
        return take_unnotified(database, Queue.TRAIN, rows.LONG, 20)

    with ThreadPoolExecutor(RACERS) as pool:
        taken = [job_id for one in pool.map(take, range(RACERS)) for job_id in one]
    taken += take_unnotified(database, Queue.TRAIN, rows.LONG, 20)
    assert sorted(taken) == sorted(accepted)


def test_keda_counts_the_jobs_that_wait_or_run(database: Database) -> None:
    """A job that runs counts, or its worker would be stopped; a split job counts as its shards."""
    model_id = rows.add_model(database)  # by a job that has ended
    for _ in range(3):
        rows.accept(database)
    rows.claim(database)
    rows.accept(database, rows.split(model_id, shards=4))
    rows.claim(database, Queue.SAMPLE)
    counted = {}
    with database.read() as session:
        for queue in Queue:
            scaled = yaml.safe_load((KEDA / f"worker-{queue}.yaml").read_text())
            (trigger,) = scaled["spec"]["triggers"]
            assert (trigger["type"], trigger["metadata"]["targetQueryValue"]) == ("postgresql", "1")
            counted[queue] = session.scalar(text(trigger["metadata"]["query"]))
    assert counted == {Queue.TRAIN: 3, Queue.SAMPLE: 4}
