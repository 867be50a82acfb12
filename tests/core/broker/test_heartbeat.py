"""A worker that listens is seen, and one that went is not."""

import time

import pytest
from redis import Redis
from support.valkey import Valkey
from support.waiting import until

from core.broker import heartbeat
from core.broker.heartbeat import WorkerHeartbeat, listening
from core.schemas.jobs import Queue


def test_a_worker_appears_and_goes(redis: Redis) -> None:
    assert listening(redis, Queue.TRAIN) == 0
    workers = [WorkerHeartbeat(redis, Queue.TRAIN, f"w{number}") for number in range(2)]
    for worker in workers:
        worker.start()
    until(lambda: listening(redis, Queue.TRAIN) == 2)
    assert listening(redis, Queue.SAMPLE) == 0
    for left, worker in zip((1, 0), workers, strict=True):
        worker.stop()
        assert listening(redis, Queue.TRAIN) == left


def test_a_worker_that_died_goes_by_itself(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "GONE_AFTER_SECONDS", 3)
    worker = WorkerHeartbeat(redis, Queue.TRAIN, "w")
    worker.start()
    until(lambda: listening(redis, Queue.TRAIN) == 1)
    worker._thread.stop()  # without `worker.stop`, which would delete the key: the worker was killed
    assert listening(redis, Queue.TRAIN) == 1
    until(lambda: listening(redis, Queue.TRAIN) == 0)


def test_a_broker_that_was_wiped_or_away_hears_of_the_worker_again(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    with own_valkey.client() as client:
        worker = WorkerHeartbeat(client, Queue.SAMPLE, "w")
        worker.start()
        until(lambda: listening(client, Queue.SAMPLE) == 1)
        client.flushall()
        until(lambda: listening(client, Queue.SAMPLE) == 1)
        own_valkey.stop()
        time.sleep(0.2)
        own_valkey.start()
        client.flushall()
        until(lambda: listening(client, Queue.SAMPLE) == 1)
        own_valkey.stop()
        worker.stop()  # nothing raises
