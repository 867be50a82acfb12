"""The parts of the service, put together on one machine."""

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
from api.embedded.supervisor import Part, Supervisor
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
    """Run until SIGTERM or Ctrl-C. `broker_url` names a broker of the user's; without one we run our own.

    Raises CannotServe.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    lock = _lock(settings.data_dir)
    port = _port(settings)
    _refuse_without_keys(settings)
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
        learning, *sampling = workers(settings.sample_workers, environment)
        api = Part("api", [*PYTHON, "api"], environment)
        for part in (api, learning):
            supervisor.start(part)
        _announce(supervisor, api, settings.host, port)
        for part in sampling:  # only now, for what a process imports on its way up keeps a core busy
            supervisor.start(part)
        supervisor.run()
    finally:
        log.info("stopping")
        supervisor.close()
        lock.close()


def workers(sample_workers: int, environment: Mapping[str, str]) -> list[Part]:
    """One that learns and `sample_workers` that sample; these share the cores out, unless the user has said how."""
    share = str(max(1, core_count() // sample_workers))
    sampling = {**environment, "GENCONVNET_THREADS": os.environ.get("GENCONVNET_THREADS") or share}
    names = [f"worker-sample-{number}" for number in range(1, sample_workers + 1)]
    return [
        Part("worker-train", [*PYTHON, "worker", Queue.TRAIN.value], environment, WORKER_STOP_SECONDS),
        *(Part(name, [*PYTHON, "worker", Queue.SAMPLE.value], sampling, WORKER_STOP_SECONDS) for name in names),
    ]


def _refuse_without_keys(settings: ApiSettings) -> None:
    """Before any part is started, rather than by the API, again and again."""
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
        broker.end_stray(path)
        part = Part("broker", broker.command(server, path, data_dir / "broker"))
        supervisor.start(part)
        try:
            broker.wait_until_up(path, has_ended=part.has_ended)
        except NoBroker:
            if not (part.has_ended() and broker.set_aside(data_dir / "broker")):
                raise
            log.warning("broker_begins_anew", reason="it ended over what it had kept; the rows know all jobs")
            part.start()
            broker.wait_until_up(path, has_ended=part.has_ended)
    except NoBroker as error:
        raise CannotServe(str(error)) from error
    return f"unix://{path}"


def _announce(supervisor: Supervisor, api: Part, host: str, port: int) -> None:
    """Say where the service is, once it answers."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
    deadline = time.monotonic() + API_START_SECONDS
    while not supervisor.stopping:
        if api.process is not None and api.process.poll() is not None:
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
    """One service a data folder."""
    lock = (data_dir / "serve.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        raise CannotServe(
            f"the data folder {data_dir} is in use by another `genconvnet serve` (process {lock.read().strip()}): "
            "stop that one, or choose another folder by --data-dir"
        ) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _port(settings: ApiSettings) -> int:
    """The port asked for, if it is free; for 0, a free one."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotServe(
                f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): choose another by --port, "
                "or --port 0 for a free one"
            ) from error
        port: int = probe.getsockname()[1]
    return port
