"""The service as separate real processes, each of which a test may kill, stop, cut off and start again.

They are the processes of `genconvnet serve`. The rig starts a dead one again at once; the supervisor would wait longer
and longer.
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
from support.client import ServiceClient
from support.preloaded import PreloadedProcess
from support.service import QUICK, RUN_SECONDS, slowed

from api.embedded import broker
from api.embedded.serve import PYTHON, workers
from api.embedded.supervisor import SupervisedProcess
from core.broker.connection import connect
from core.runtime.processes import with_starter
from core.runtime.settings import Settings
from core.schemas.jobs import Queue
from core.storage.blobs import Blobs
from core.storage.database import Database

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 4.0
START_SECONDS = 120
SETTINGS = {
    **QUICK,
    "GENCONVNET_LEASE_SECONDS": str(LEASE_SECONDS),
    "GENCONVNET_HEARTBEAT_SECONDS": "0.5",
    "GENCONVNET_RECONCILE_SECONDS": "2",
    "GENCONVNET_LOG_FORMAT": "json",
}
TRAIN, SAMPLE_1, SAMPLE_2 = "worker-train", "worker-sample-1", "worker-sample-2"
WORKERS = (TRAIN, SAMPLE_1, SAMPLE_2)


class Rig:
    """Processes by their names: broker, api, and those of WORKERS that `workers` names."""

    def __init__(
        self, folder: Path, database_url: str | None = None, only: tuple[str, ...] = WORKERS, **environment: str
    ) -> None:
        self.folder, self.data_dir, self.log = folder, folder / "data", folder / "service.log"
        self.data_dir.mkdir(parents=True, exist_ok=True)  # it may hold a backup
        self._sockets = Path(tempfile.mkdtemp(prefix="genconvnet-chaos-"))  # a socket's path must be short
        self.socket, self.broker_dir = self._sockets / "valkey.sock", self.data_dir / "broker"
        self.broker_url, port = f"unix://{self.socket}", _free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = Settings(data_dir=self.data_dir, database_url=database_url)
        self.database, self.blobs = Database(settings.rows_url), Blobs(settings.blobs_url)
        self.environment = {
            **SETTINGS,
            "GENCONVNET_DATA_DIR": str(self.data_dir),
            "GENCONVNET_DATABASE_URL": settings.rows_url,
            "GENCONVNET_BROKER_URL": self.broker_url,
            "GENCONVNET_PORT": str(port),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self._sockets),
            **environment,
        }
        command = broker.command(broker.find_server(), self.socket, self.broker_dir)
        parts = [
            SupervisedProcess("broker", command),
            *(part for part in workers(2, self.environment) if part.name in only),
            SupervisedProcess("api", [*PYTHON, "api"], self.environment),
        ]
        self.processes = {part.name: _Process(part, self.log) for part in parts}
        for process in self.processes.values():
            process.preloaded = process.part.name != "broker" and "PYTHONPATH" not in environment
        self.client = ServiceClient(self.url, self.log, retry=True)
        self._absent = {f"worker:{queue}" for queue in Queue if not any(queue in name for name in only)}
        self._stopping = threading.Event()
        self._restarter = threading.Thread(target=self._restart_dead, name="restarter")  # its children end with it

    def start(self) -> None:
        self._restarter.start()
        self.wait_until_ready()

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until /readyz misses nothing that the rig has. Raises TimeoutError if that takes too long."""
        deadline, seen = time.monotonic() + seconds, "nothing"
        while time.monotonic() < deadline:
            try:
                answer = self.client.http.get("/readyz", timeout=10)
                if answer.is_success or {part["field"] for part in answer.json()["errors"]} <= self._absent:
                    return
                seen = answer.text
            except httpx.HTTPError as error:
                seen = repr(error)
            time.sleep(0.1)
        raise TimeoutError(f"not ready after {seconds:g} s: {seen}\n{self.log.read_text()[-3000:]}")

    def pid(self, name: str) -> int | None:
        """Return the process's id, None if it is not running."""
        process = self.processes[name].part.process
        return process.pid if process is not None and process.poll() is None else None

    def send(self, name: str, number: signal.Signals, seconds: float = 0.0) -> bool:
        """Send a signal to a process; resume one that is to stop after `seconds`. Return False if it is not running."""
        return self.kill(self.pid(name), number, seconds)

    def send_all(self, name: str, number: signal.Signals, seconds: float = 0.0) -> bool:
        """Do the same to a process and its children."""
        pids = self.pid_and_children(name)
        for pid in pids:
            self.kill(pid, number)
        return self._resume_after(pids, number, seconds)

    def pid_and_children(self, name: str) -> list[int]:
        pid = self.pid(name)
        return [] if pid is None else [pid, *self.children(name)]

    def children(self, name: str) -> list[int]:
        """Return the processes that do a worker's jobs."""
        process = self.processes[name].part.process
        try:
            if isinstance(process, PreloadedProcess):
                return process.work_processes()
            found = psutil.Process(process.pid).children(recursive=True) if process else []
            return [one.pid for one in found if "spawn_main" in str(one.cmdline())]
        except psutil.Error:
            return []

    @contextmanager
    def slow_training(self) -> Iterator[None]:
        """Slow down the training worker's job to a twentieth, so that a short one can be disturbed."""
        (child,) = self.children(TRAIN)
        with slowed(psutil.Process(child), pause_seconds=19 * RUN_SECONDS):
            yield

    @contextmanager
    def down(self, name: str) -> Iterator[None]:
        """Kill the process, and do not start it again before the block ends."""
        process = self.processes[name]
        process.stays_down = True
        try:
            self.send(name, signal.SIGKILL)
            while self.pid(name) is not None:
                time.sleep(0.02)
            yield
        finally:
            process.stays_down = False

    def wipe_broker(self) -> None:
        shutil.rmtree(self.broker_dir)
        self.broker_dir.mkdir()

    def stop(self) -> None:
        """Stop all processes as a deployment does: SIGTERM first."""
        self._stopping.set()
        self._restarter.join()

    def close(self) -> None:
        self.client.close()
        if self._restarter.is_alive():
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
        return self._resume_after([pid], number, seconds)

    def _resume_after(self, pids: list[int], number: signal.Signals, seconds: float = 0.0) -> bool:
        if number is signal.SIGSTOP and seconds:
            time.sleep(seconds)
            for pid in pids:
                self.kill(pid, signal.SIGCONT, 0.0)
        return True

    def _restart_dead(self) -> None:
        with ExitStack() as stack:
            for name in ("broker", *(name for name in self.processes if name.startswith("worker")), "api"):
                stack.callback(self.processes[name].part.stop)  # the last is stopped first
            for process in self.processes.values():
                process.start_if_dead()
                if process.part.name == "broker":
                    broker.wait_until_up(self.socket)
            while not self._stopping.wait(0.1):
                for process in self.processes.values():
                    process.start_if_dead()


class _Process:
    """A part of the service that writes to the rig's log.

    If `preloaded`, it need not be imported first: the processes of a rig are killed and started again many times.
    """

    def __init__(self, part: SupervisedProcess, log: Path) -> None:
        self.part, self._log = part, log
        self.stays_down = self.preloaded = False

    def start_if_dead(self) -> None:
        process = self.part.process
        if not self.stays_down and (process is None or process.poll() is not None):
            self.part.process = self._start({**_environment(), **self.part.environment})

    def _start(self, environment: Mapping[str, str]) -> "subprocess.Popen[bytes] | PreloadedProcess":
        if self.preloaded:
            module, *arguments = self.part.command[len(PYTHON) :]
            return PreloadedProcess(module, *arguments, folder=ROOT, log=self._log, environment=environment)
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self.part.command,
                env={**environment, **with_starter()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _environment() -> Mapping[str, str]:
    """Return the environment without our settings, and without the path of the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GENCONVNET_", "PYTHONPATH"))}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
