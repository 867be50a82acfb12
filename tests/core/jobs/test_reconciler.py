"""The notifier may be lost; the reconciler makes it good."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis, RedisError
from support import rows
from support.valkey import Valkey, messages
from support.waiting import until

from core.broker.notifier import JobNotifier
from core.jobs import leases, requests
from core.jobs.reconciler import Reconciler
from core.schemas.jobs import JobStatus, Queue
from core.storage.database import Database

OFTEN = 0.05  # seconds between two looks


@pytest.fixture
def notifier(valkey: Valkey) -> Iterator[JobNotifier]:
    opened = JobNotifier(valkey.url)
    yield opened
    opened.close()


@pytest.fixture
def own_bell(own_valkey: Valkey) -> Iterator[JobNotifier]:
    opened = JobNotifier(own_valkey.url)
    yield opened
    opened.close()


def test_a_ring_is_a_message_with_the_jobs_id_in_its_queue(notifier: JobNotifier, redis: Redis) -> None:
    assert notifier.notify(Queue.TRAIN, "job_a")
    assert notifier.notify(Queue.SAMPLE, "job_b")
    assert (messages(redis), messages(redis, Queue.SAMPLE)) == (["job_a"], ["job_b"])
    assert (notifier.pending(Queue.TRAIN), notifier.pending(Queue.SAMPLE)) == (1, 1)


def test_one_look_rings_for_every_job_that_waits_unheard(
    database: Database, notifier: JobNotifier, redis: Redis
) -> None:
    model_id = rows.add_model(database)
    waiting = [rows.accept(database) for _ in range(3)]
    sampling = rows.accept(database, rows.sample(model_id))
    Reconciler(database, notifier, rows.LONG).look()
    assert sorted(messages(redis)) == sorted(waiting)
    assert messages(redis, Queue.SAMPLE) == [sampling]


def test_messages_do_not_pile_up_over_many_looks(database: Database, notifier: JobNotifier, redis: Redis) -> None:
    for _ in range(3):
        rows.accept(database)
    reconciler = Reconciler(database, notifier, 0.0)  # every look finds the last ring long ago
    for _ in range(20):
        reconciler.look()
    assert len(messages(redis)) == 3


def test_of_many_reconcilers_only_one_rings(sqlite_database: Database, notifier: JobNotifier, redis: Redis) -> None:
    job_id = rows.accept(sqlite_database)
    for _ in range(5):
        Reconciler(sqlite_database, notifier, rows.LONG).look()
    assert messages(redis) == [job_id]


def test_a_message_that_was_taken_and_lost_is_rung_again(
    database: Database, notifier: JobNotifier, redis: Redis
) -> None:
    job_id = rows.accept(database)
    reconciler = Reconciler(database, notifier, rows.LONG)
    reconciler.look()
    redis.delete(Queue.TRAIN.value)  # a worker took it and died
    reconciler.look()
    assert messages(redis) == []  # not before its time
    notified_at = rows.row(database, job_id).notified_at
    assert notified_at is not None
    rows.alter(database, job_id, notified_at=notified_at - rows.LONG)
    reconciler.look()
    assert messages(redis) == [job_id]


def test_a_wiped_broker_is_rung_again(database: Database, notifier: JobNotifier, redis: Redis) -> None:
    waiting = [rows.accept(database) for _ in range(3)]
    reconciler = Reconciler(database, notifier, OFTEN)
    for _ in range(3):
        reconciler.look()
        assert sorted(messages(redis)) == sorted(waiting)
        redis.flushall()
        time.sleep(2 * OFTEN)


def test_a_job_whose_worker_was_lost_is_rung_again(database: Database, notifier: JobNotifier, redis: Redis) -> None:
    held = rows.claimed(database)
    reconciler = Reconciler(database, notifier, rows.LONG)
    reconciler.look()
    assert messages(redis) == []
    leases.abandon(database, held)
    reconciler.look()
    assert messages(redis) == [held.job_id]


def test_a_look_ends_what_is_lost_for_good_and_rings_for_nothing(
    database: Database, notifier: JobNotifier, redis: Redis
) -> None:
    struck, wanted_no_more = rows.accept(database), rows.accept(database)
    for job_id in (struck, wanted_no_more):
        assert rows.claim(database).job_id == job_id
        rows.expire(database, job_id)
        rows.alter(database, job_id, failures=leases.MAX_FAILURES if job_id == struck else 1)
        if job_id == wanted_no_more:
            requests.cancel(database, job_id)
    Reconciler(database, notifier, rows.LONG).look()
    states = [rows.row(database, job_id).status for job_id in (struck, wanted_no_more)]
    assert states == [JobStatus.FAILED, JobStatus.CANCELED]
    assert messages(redis) == []


@contextmanager
def _looking(database: Database, notifier: JobNotifier) -> Iterator[None]:
    reconciler = Reconciler(database, notifier, OFTEN)
    reconciler.start()
    try:
        yield
    finally:
        reconciler.stop()


def test_the_thread_looks_until_it_is_stopped(sqlite_database: Database, notifier: JobNotifier, redis: Redis) -> None:
    with _looking(sqlite_database, notifier):
        for count in (1, 2):
            rows.accept(sqlite_database)
            until(lambda count=count: len(messages(redis)) == count)
    rows.accept(sqlite_database)
    time.sleep(3 * OFTEN)
    assert len(messages(redis)) == 2


def test_while_the_broker_is_away_nothing_raises_and_after_it_everything_is_rung(
    sqlite_database: Database, own_bell: JobNotifier, own_valkey: Valkey
) -> None:
    assert own_bell.notify(Queue.TRAIN, "job_before")
    own_valkey.stop()
    assert not own_bell.notify(Queue.TRAIN, "job_while")
    with pytest.raises(RedisError):
        own_bell.pending(Queue.TRAIN)
    job_id = rows.accept(sqlite_database)
    with _looking(sqlite_database, own_bell), own_valkey.client() as client:
        time.sleep(3 * OFTEN)
        own_valkey.start()
        client.delete(Queue.TRAIN.value)  # what the file had kept
        until(lambda: job_id in messages(client))
        assert own_bell.notify(Queue.TRAIN, "job_after")
        assert "job_after" in messages(client)


@pytest.mark.parametrize("url", ["unix:///nowhere/none.sock", "redis://127.0.0.1:1/0"])
def test_a_broker_that_is_away_is_not_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client is waiting for its answer."""
    for pause in ("redis.retry.sleep", "kombu.utils.functional.sleep"):
        monkeypatch.setattr(pause, lambda seconds: pytest.fail(f"whoever rings sleeps {seconds} s"))
    notifier = JobNotifier(url)
    for _ in range(3):
        assert not notifier.notify(Queue.TRAIN, "job_a")
    notifier.close()


def test_a_reconciler_outlives_a_database_that_is_away(notifier: JobNotifier, redis: Redis, tmp_path: Path) -> None:
    missing = Database(f"sqlite:///{tmp_path / 'not-migrated.sqlite3'}")
    with _looking(missing, notifier):
        time.sleep(3 * OFTEN)
        missing.migrate()
        job_id = rows.accept(missing)
        until(lambda: messages(redis) == [job_id])
    missing.dispose()
