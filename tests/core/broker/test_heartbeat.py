"""Live workers are counted, and those that are gone are not."""

import time

import pytest
from redis import Redis
from support.valkey import Valkey
from support.waiting import until

from core.broker import heartbeat
from core.broker.heartbeat import WorkerHeartbeat, count_workers
from core.schemas.jobs import Queue


def test_a_worker_counts_from_start_to_stop(redis: Redis) -> None:
    assert count_workers(redis, Queue.TRAIN) == 0
    workers = [WorkerHeartbeat(redis, Queue.TRAIN, f"w{number}") for number in range(2)]
    for worker in workers:
        worker.start()
    until(lambda: count_workers(redis, Queue.TRAIN) == 2)
    assert count_workers(redis, Queue.SAMPLE) == 0
    for left, worker in zip((1, 0), workers, strict=True):
        worker.stop()
        assert count_workers(redis, Queue.TRAIN) == left


def test_a_worker_that_died_stops_counting(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "EXPIRE_SECONDS", 3)
    worker = WorkerHeartbeat(redis, Queue.TRAIN, "w")
    worker.start()
    until(lambda: count_workers(redis, Queue.TRAIN) == 1)
    worker._thread.stop()  # without `worker.stop`, which would delete the key: the worker was killed
    assert count_workers(redis, Queue.TRAIN) == 1
    until(lambda: count_workers(redis, Queue.TRAIN) == 0)


def test_a_worker_is_announced_again_to_a_broker_that_was_wiped_or_away(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    with own_valkey.client() as client:
        worker = WorkerHeartbeat(client, Queue.SAMPLE, "w")
        worker.start()
        until(lambda: count_workers(client, Queue.SAMPLE) == 1)
        client.flushall()
        until(lambda: count_workers(client, Queue.SAMPLE) == 1)
        own_valkey.stop()
        time.sleep(0.2)
        own_valkey.start()
        client.flushall()
        until(lambda: count_workers(client, Queue.SAMPLE) == 1)
        own_valkey.stop()
        worker.stop()  # nothing raises
