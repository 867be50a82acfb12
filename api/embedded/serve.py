"""Starts the broker, the API and the workers on one machine and runs them until a signal."""

import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import structlog

from api.auth.exposure import require_keys
from api.embedded import broker
from api.embedded.attached import LOCK
from api.embedded.broker import NoBroker
from api.embedded.supervisor import SupervisedProcess, Supervisor
from api.listening import free_port, is_alive, own_url
from api.settings import ApiSettings
from core.runtime.log_format import is_json, json_line
from core.runtime.startup import CannotStart, prepare_folder
from core.schemas.jobs import Queue
from core.storage.startup import OTHER_FOLDER, check_blobs, open_database

API_START_SECONDS = 60
LATER_SECONDS = 20.0
WORKER_STOP_SECONDS = 30.0
PYTHON = (sys.executable, "-P", "-m")

log = structlog.get_logger()


def serve(settings: ApiSettings, broker_url: str | None, at_once: Sequence[Queue] = tuple(Queue)) -> None:
    """Run the service until SIGTERM or Ctrl-C. Without a `broker_url`, run a broker too. Raises CannotStart.

    at_once: the queues whose workers are needed now. The first worker starts together with the API, the others when it
    answers, or all would start more slowly. Workers of the other queues start LATER_SECONDS later, so that they do not
    slow down a short command.
    Nothing is logged before the first process has started, so that a refusal is all that the user sees.
    """
    prepare_folder(settings.data_dir, "the data folder", OTHER_FOLDER)
    with _locked(settings.data_dir) as lock, ExitStack() as cleanup:
        port = free_port(settings.host, settings.port)
        check_blobs(settings)
        with open_database(settings) as database:
            require_keys(settings, database)  # else the API would refuse to start
        supervisor = Supervisor()
        cleanup.callback(broker.remove_socket_folder, settings.data_dir)
        cleanup.callback(supervisor.close)
        if broker_url is None:
            broker_url = _start_broker(supervisor, settings.data_dir)
        environment = {
            "GENCONVNET_DATA_DIR": str(settings.data_dir.resolve()),
            "GENCONVNET_BROKER_URL": broker_url,
            "GENCONVNET_HOST": settings.host,
            "GENCONVNET_PORT": str(port),
            "GENCONVNET_WITHOUT_KEYS": str(settings.without_keys),
        }
        train_worker, *sample_workers = workers(settings.sample_workers, environment)
        by_queue = {Queue.TRAIN: [train_worker], Queue.SAMPLE: sample_workers}
        first, *others = [worker for queue in at_once for worker in by_queue[queue]]
        api = SupervisedProcess("api", [*PYTHON, "api"], environment)
        supervisor.start(api)
        supervisor.start(first)
        if _wait_for_answer(supervisor, api, settings, port):
            _announce(lock, settings, own_url(settings.host, port))
        for worker in others:
            supervisor.start(worker)
        for worker in (worker for queue in Queue if queue not in at_once for worker in by_queue[queue]):
            supervisor.start_later(worker, LATER_SECONDS)
        supervisor.run()
        log.info("stopping")


def workers(sample_workers: int, environment: Mapping[str, str]) -> list[SupervisedProcess]:
    """Return one worker for training and `sample_workers` for sampling."""
    names = [f"worker-sample-{number}" for number in range(1, sample_workers + 1)]
    return [
        _worker("worker-train", Queue.TRAIN, environment),
        *(_worker(name, Queue.SAMPLE, environment) for name in names),
    ]


def _worker(name: str, queue: Queue, environment: Mapping[str, str]) -> SupervisedProcess:
    return SupervisedProcess(name, [*PYTHON, "worker", queue.value], environment, WORKER_STOP_SECONDS)


def _start_broker(supervisor: Supervisor, data_dir: Path) -> str:
    """Start a broker and return its URL. Raises CannotStart."""
    server, path, folder = broker.find_server(), broker.socket_path(data_dir), data_dir / "broker"
    prepare_folder(folder, "the folder of the broker", OTHER_FOLDER)
    broker.make_socket_folder(data_dir)
    broker.shut_down_orphan(path)
    process = SupervisedProcess(
        "broker", broker.command(server, path, folder), plain_output=True, advice=broker.SYSTEM_ADVICE
    )
    supervisor.start(process)
    try:
        broker.wait_until_up(path, has_exited=process.has_exited)
    except NoBroker:
        if not (process.has_exited() and broker.move_data_away(folder)):
            raise
        log.warning("broker_starts_empty", reason="it exited on its stored data, which is not needed")
        process.start()
        broker.wait_until_up(path, has_exited=process.has_exited)
    return f"unix://{path}"


def _wait_for_answer(supervisor: Supervisor, api: SupervisedProcess, settings: ApiSettings, port: int) -> bool:
    """Wait until the API answers. Return False if a signal asks to stop meanwhile. Raises CannotStart."""
    deadline = time.monotonic() + API_START_SECONDS
    while not supervisor.stopping:
        if is_alive(settings.host, port):
            return True
        supervisor.refuse_if_refused()
        if api.has_exited():
            raise CannotStart("the API ended while it started: correct what its log above says")
        if time.monotonic() > deadline:
            raise CannotStart(
                f"the API did not answer within {API_START_SECONDS} s: see its log above, and whether the machine is "
                "overloaded"
            )
        time.sleep(0.05)
    return False


def _announce(lock: IO[str], settings: ApiSettings, url: str) -> None:
    """Print the URL, and write it into the lock, where `genconvnet train` and others look for a running service."""
    line = f"genconvnet is at {url}  (Ctrl-C stops it)"
    sys.stdout.write((json_line(line, "info") if is_json(settings.log_format) else line) + "\n")
    sys.stdout.flush()
    lock.write(f"{url}\n")
    lock.flush()


@contextmanager
def _locked(data_dir: Path) -> Iterator[IO[str]]:
    """Lock the data folder, so that only one service runs on it; yield the lock. Raises CannotStart if another does."""
    path = data_dir / LOCK
    try:
        lock = path.open("a+")
    except OSError as error:
        raise CannotStart(f"{path} cannot be opened ({error.strerror}): make it writable for this user") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise CannotStart(
                f"the data folder {data_dir} is in use by another `genconvnet serve` (process {_process_of(lock)}): "
                "stop that one, or choose another folder with --data-dir"
            ) from error
        except OSError as error:
            raise CannotStart(
                f"{path} cannot be locked ({error.strerror}): choose a folder on another disk with --data-dir"
            ) from error
        try:
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
        except OSError as error:
            raise CannotStart(f"{path} cannot be written ({error.strerror}): free some space on its disk") from error
        yield lock


def _process_of(lock: IO[str]) -> str:
    """Return the process id in a lock: its first line; the second is the service's URL."""
    return lock.read().partition("\n")[0]
