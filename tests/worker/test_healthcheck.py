"""The health check of a worker's container (worker/healthcheck.py)."""

import os
import subprocess
import sys

import pytest
from redis import Redis
from support.valkey import Valkey
from support.waiting import until

from core.broker.heartbeat import WorkerHeartbeat, count_workers
from core.schemas.jobs import Queue
from worker import healthcheck
from worker.healthcheck import worker_name


def test_a_machine_is_healthy_while_a_worker_on_it_listens(valkey: Valkey, redis: Redis, monkeypatch) -> None:
    monkeypatch.setenv("GENCONVNET_BROKER_URL", valkey.url)
    elsewhere = WorkerHeartbeat(redis, Queue.TRAIN, "train@elsewhere:1")
    here = WorkerHeartbeat(redis, Queue.TRAIN, worker_name(Queue.TRAIN, "1"))
    elsewhere.start()
    until(lambda: count_workers(redis, Queue.TRAIN) == 1)
    with pytest.raises(SystemExit, match="no worker of"):
        healthcheck.main(Queue.TRAIN)
    here.start()
    until(lambda: count_workers(redis, Queue.TRAIN) == 2)
    healthcheck.main(Queue.TRAIN)
    for heartbeat in (here, elsewhere):
        heartbeat.stop()


def test_the_command_fails_without_a_worker(valkey: Valkey) -> None:
    command = [sys.executable, "-P", "-m", "worker.healthcheck", "sample"]
    environment = {**os.environ, "GENCONVNET_BROKER_URL": valkey.url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "no worker of" in done.stderr
