"""A Valkey server for the tests, started as `genconvnet serve` starts its own."""

import base64
import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from api.embedded import broker
from core.broker.connection import RUN_TASK, connect
from core.schemas.jobs import Queue


class Valkey:
    """A server on a Unix socket of its own, which a test can stop and start again with its data."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="genconvnet-valkey-"))  # a socket's path must be short
        self.socket = self.folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(broker.command(broker.find_server(), self.socket, self.folder))
        broker.wait_until_up(self.socket)

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def stop(self) -> None:
        """Kill the server."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> Redis:
        return connect(self.url)

    def flush(self) -> None:
        """Delete everything. Without a client, which takes milliseconds to make: hundreds of tests begin with this."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(64) == b"+OK\r\n"

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def running() -> Iterator[Valkey]:
    server = Valkey()
    server.start()
    try:
        yield server
    finally:
        server.close()


def messages(redis: Redis, queue: Queue = Queue.TRAIN) -> list[str]:
    """Return the job ids of the waiting messages, oldest first. Messages carry nothing else."""
    found = []
    for raw in reversed(redis.lrange(queue.value, 0, -1)):
        message: dict[str, Any] = json.loads(raw)
        assert message["headers"]["task"] == RUN_TASK
        assert message["content-type"] == "application/json"
        arguments, *_ = json.loads(base64.b64decode(message["body"]))
        (job_id,) = arguments
        found.append(job_id)
    return found
