"""The health check of a worker's container."""

import os
import subprocess
import sys

from redis import Redis
from support.valkey import Valkey
from support.waiting import until

from core.broker.heartbeat import WorkerHeartbeat, count_workers
from core.schemas.jobs import Queue
from worker.healthcheck import worker_name


def test_a_worker_is_healthy_while_it_listens_on_this_machine(valkey: Valkey, redis: Redis) -> None:
    assert "no worker of" in _told(valkey)
    elsewhere = WorkerHeartbeat(redis, Queue.TRAIN, "train@elsewhere:1")
    here = WorkerHeartbeat(redis, Queue.TRAIN, worker_name(Queue.TRAIN, "1"))
    elsewhere.start()
    _until_counted(redis, 1)
    assert "no worker of" in _told(valkey)
    here.start()
    _until_counted(redis, 2)
    assert _told(valkey) == ""
    for worker in (here, elsewhere):
        worker.stop()


def _told(valkey: Valkey) -> str:
    """What the check prints where it fails, or nothing."""
    command = [sys.executable, "-P", "-m", "worker.healthcheck", "train"]
    environment = {**os.environ, "GENCONVNET_BROKER_URL": valkey.url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


def _until_counted(redis: Redis, workers: int) -> None:
    until(lambda: count_workers(redis, Queue.TRAIN) == workers)
