"""Starts the broker, the API and the workers on one machine and runs them until a signal."""

import fcntl
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import httpx
import structlog

from api.auth.exposure import KeysRequired, require_keys
from api.embedded import broker
from api.embedded.broker import NoBroker
from api.embedded.supervisor import SupervisedProcess, Supervisor
from api.settings import ApiSettings
from core.runtime.processes import core_count
from core.schemas.jobs import Queue
from core.storage.database import Database

API_START_SECONDS = 60
WORKER_STOP_SECONDS = 30.0
PYTHON = (sys.executable, "-P", "-m")

log = structlog.get_logger()


class CannotServe(RuntimeError):
    """The service cannot start; the message says why and what to do."""


def serve(settings: ApiSettings, broker_url: str | None) -> None:
    """Run the service until SIGTERM or Ctrl-C. Without a `broker_url`, run a broker too. Raises CannotServe."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    lock = _lock(settings.data_dir)
    port = _port(settings)
    _require_keys(settings)
    supervisor = Supervisor()
    try:
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
        api = SupervisedProcess("api", [*PYTHON, "api"], environment)
        supervisor.start(api)
        supervisor.start(train_worker)
        _announce(supervisor, api, settings.host, port)
        for worker in sample_workers:  # after the API answers: their imports would slow down its start
            supervisor.start(worker)
        supervisor.run()
    finally:
        log.info("stopping")
        supervisor.close()
        lock.close()


def workers(sample_workers: int, environment: Mapping[str, str]) -> list[SupervisedProcess]:
    """Return one worker for training and `sample_workers` for sampling, which divide the cores among them.

    GENCONVNET_THREADS, if set, is the number of threads of each worker instead.
    """
    share = str(max(1, core_count() // sample_workers))
    sample_environment = {**environment, "GENCONVNET_THREADS": os.environ.get("GENCONVNET_THREADS") or share}
    names = [f"worker-sample-{number}" for number in range(1, sample_workers + 1)]
    return [
        _worker("worker-train", Queue.TRAIN, environment),
        *(_worker(name, Queue.SAMPLE, sample_environment) for name in names),
    ]


def _worker(name: str, queue: Queue, environment: Mapping[str, str]) -> SupervisedProcess:
    return SupervisedProcess(name, [*PYTHON, "worker", queue.value], environment, WORKER_STOP_SECONDS)


def _require_keys(settings: ApiSettings) -> None:
    """Raise CannotServe if keys are required and there is none: the API would not start, again and again."""
    database = Database(settings.rows_url)
    try:
        database.migrate_when_available()
        require_keys(settings, database)
    except KeysRequired as error:
        raise CannotServe(str(error)) from error
    finally:
        database.dispose()


def _start_broker(supervisor: Supervisor, data_dir: Path) -> str:
    try:
        server, path = broker.find_server(), broker.socket_path(data_dir)
        broker.shut_down_orphan(path)
        process = SupervisedProcess("broker", broker.command(server, path, data_dir / "broker"))
        supervisor.start(process)
        try:
            broker.wait_until_up(path, has_exited=process.has_exited)
        except NoBroker:
            if not (process.has_exited() and broker.move_data_away(data_dir / "broker")):
                raise
            log.warning("broker_starts_empty", reason="it exited on its stored data, which is not needed")
            process.start()
            broker.wait_until_up(path, has_exited=process.has_exited)
    except NoBroker as error:
        raise CannotServe(str(error)) from error
    return f"unix://{path}"


def _announce(supervisor: Supervisor, api: SupervisedProcess, host: str, port: int) -> None:
    """Wait until the API answers, then print its URL."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
    deadline = time.monotonic() + API_START_SECONDS
    while not supervisor.stopping:
        if api.has_exited():
            raise CannotServe("the API did not start: its log is above")
        try:
            httpx.get(f"{url}/healthz", timeout=2).raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise CannotServe(f"the API did not answer within {API_START_SECONDS} s") from None
            time.sleep(0.05)
            continue
        sys.stdout.write(f"genconvnet is at {url}  (Ctrl-C stops it)\n")
        sys.stdout.flush()
        return


def _lock(data_dir: Path) -> TextIO:
    """Lock the data folder, so that only one service runs on it. Raises CannotServe if another does."""
    lock = (data_dir / "serve.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        raise CannotServe(
            f"the data folder {data_dir} is in use by another `genconvnet serve` (process {lock.read().strip()}): "
            "stop that one, or choose another folder with --data-dir"
        ) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _port(settings: ApiSettings) -> int:
    """Return the configured port or, if that is 0, a free one. Raises CannotServe if it is in use."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotServe(
                f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): choose another with --port, "
                "or --port 0 for a free one"
            ) from error
        port: int = probe.getsockname()[1]
    return port
