"""`python -P -m worker.healthcheck QUEUE`: exit with an error if no worker on this machine listens to the queue."""

import socket
import sys

from core.broker.connection import connect
from core.broker.heartbeat import count_workers
from core.runtime.settings import Settings
from core.schemas.jobs import Queue


def worker_name(queue: Queue, process: str) -> str:
    """Return the name of a worker on this machine; `process` distinguishes the machine's workers."""
    return f"{queue.value}@{socket.gethostname()}:{process}"


def main(queue: Queue) -> None:
    with connect(Settings().broker_url) as redis:
        if count_workers(redis, queue, worker_name(queue, "*")) == 0:
            raise SystemExit(f"no worker of {socket.gethostname()} listens to the queue {queue.value}")


if __name__ == "__main__":
    main(Queue(sys.argv[1]))
