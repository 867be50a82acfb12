"""The service as separate real processes, all of which may be killed, stopped, cut off and started again.

They are those of `genconvnet serve`, with two workers that sample. It is the rig that starts again what dies, always at
once, where the supervisor would wait longer and longer.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
from redis import Redis

from api.embedded import broker
from api.embedded.serve import PYTHON, workers
from api.embedded.supervisor import SupervisedProcess
from core.broker.connection import connect
from core.runtime.processes import with_starter
from core.runtime.settings import Settings
from core.storage.blobs import Blobs
from core.storage.database import Database

LEASE_SECONDS = 4.0
QUICK = {
    "GENCONVNET_LEASE_SECONDS": str(LEASE_SECONDS),
    "GENCONVNET_HEARTBEAT_SECONDS": "0.5",
    "GENCONVNET_RECONCILE_SECONDS": "1",
    "GENCONVNET_THREADS": "1",
    "GENCONVNET_NICENESS": "0",
    "GENCONVNET_LOG_FORMAT": "json",
}
START_SECONDS = 120


class Rig:
    """`parts` by their names: broker, api, worker-train, worker-sample-1 and -2."""

    def __init__(self, folder: Path, database_url: str | None = None, **environment: str) -> None:
        self.folder, self.data_dir, self.log = folder, folder / "data", folder / "service.log"
        self.data_dir.mkdir(parents=True)
        self._sockets = Path(tempfile.mkdtemp(prefix="genconvnet-chaos-"))  # a socket's path must be short
        self.socket, self.broker_dir = self._sockets / "valkey.sock", self.data_dir / "broker"
        self.broker_url, port = f"unix://{self.socket}", _free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = Settings(data_dir=self.data_dir, database_url=database_url)
        self.database, self.blobs = Database(settings.rows_url), Blobs(settings.blobs_url)
        self.environment = {
            **QUICK,
            "GENCONVNET_DATA_DIR": str(self.data_dir),
            "GENCONVNET_DATABASE_URL": settings.rows_url,
            "GENCONVNET_BROKER_URL": self.broker_url,
            "GENCONVNET_PORT": str(port),
            "TMPDIR": str(self._sockets),
            **environment,
        }
        command = broker.command(broker.find_server(), self.socket, self.broker_dir)
        made = [
            SupervisedProcess("broker", command),
            *workers(2, self.environment),
            SupervisedProcess("api", [*PYTHON, "api"], self.environment),
        ]
        self.parts = {part.name: _Logged(part, self.log) for part in made}
        self.at_end = ExitStack()
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper")  # its children go when it goes

    def start(self) -> None:
        self._keeper.start()
        self.wait_until_ready()

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        """Raises TimeoutError where /readyz does not say so in time."""
        deadline, said = time.monotonic() + seconds, "nothing"
        while time.monotonic() < deadline:
            try:
                answer = httpx.get(f"{self.url}/readyz", timeout=10)
                if answer.status_code == 200:
                    return
                said = answer.text
            except httpx.HTTPError as error:
                said = repr(error)
            time.sleep(0.1)
        raise TimeoutError(f"not ready after {seconds:g} s: {said}\n{self.log.read_text()[-3000:]}")

    def pid(self, name: str) -> int | None:
        """Of the part's process, where it runs."""
        process = self.parts[name].part.process
        return process.pid if process is not None and process.poll() is None else None

    def send(self, name: str, number: signal.Signals, seconds: float = 0.0) -> bool:
        """To the part's process; where it is to stop, it goes on after `seconds`. False where there is none."""
        return self.kill(self.pid(name), number, seconds)

    def send_all(self, name: str, number: signal.Signals, seconds: float = 0.0) -> bool:
        """To the part's process and its children."""
        family = self.family(name)
        for one in family:
            self.kill(one, number)
        return self._go_on(family, number, seconds)

    def family(self, name: str) -> list[int]:
        pid = self.pid(name)
        return [] if pid is None else [pid, *self.children(name)]

    def children(self, name: str) -> list[int]:
        """The processes that do a worker's work."""
        try:
            found = psutil.Process(self.pid(name)).children(recursive=True) if self.pid(name) else []
            return [one.pid for one in found if "spawn_main" in str(one.cmdline())]
        except psutil.Error:
            return []

    @contextmanager
    def down(self, name: str) -> Iterator[None]:
        """The part is killed, and is not started again before the block ends."""
        part = self.parts[name]
        part.held = True
        try:
            self.send(name, signal.SIGKILL)
            while self.pid(name) is not None:
                time.sleep(0.02)
            yield
        finally:
            part.held = False

    def wipe_broker(self) -> None:
        shutil.rmtree(self.broker_dir)
        self.broker_dir.mkdir()

    def stop(self) -> None:
        """As a deployment stops it: nothing is killed that goes by itself in time."""
        self._ended.set()
        self._keeper.join()

    def close(self) -> None:
        self.at_end.close()
        if self._keeper.is_alive():
            self.stop()
        self.database.dispose()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def redis(self) -> Redis:
        return connect(self.broker_url)

    def kill(self, pid: int | None, number: signal.Signals, seconds: float = 0.0) -> bool:
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return self._go_on([pid], number, seconds)

    def _go_on(self, pids: list[int], number: signal.Signals, seconds: float = 0.0) -> bool:
        if number is signal.SIGSTOP and seconds:
            time.sleep(seconds)
            for pid in pids:
                self.kill(pid, signal.SIGCONT, 0.0)
        return True

    def _keep(self) -> None:
        for part in self.parts.values():
            part.keep()
            if part.part.name == "broker":
                broker.wait_until_up(self.socket)
        while not self._ended.wait(0.1):
            for part in self.parts.values():
                part.keep()
        for name in ("api", *(name for name in self.parts if name.startswith("worker")), "broker"):
            self.parts[name].part.stop()


class _Logged:
    """A part that writes to the rig's log, and is started again at once."""

    def __init__(self, part: SupervisedProcess, log: Path) -> None:
        self.part, self._log, self.held, self.starts = part, log, False, 0

    def keep(self) -> None:
        process = self.part.process
        if self.held or (process is not None and process.poll() is None):
            return
        with self._log.open("ab") as log:
            self.part.process = subprocess.Popen(
                self.part.command,
                env={**_kept_environment(), **self.part.environment, **with_starter()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1


def _kept_environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("GENCONVNET_", "PYTHONPATH"))}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
