"""A service for the length of one command: the one that runs on the data folder already, or one of our own."""

import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from api.listening import free_port, is_alive, own_url
from core.runtime.processes import with_starter
from core.runtime.startup import CannotStart
from core.schemas.jobs import Queue

START_SECONDS = 90.0
ANSWER_SECONDS = 10.0
STOP_SECONDS = 60.0
USERS = "serve.users"  # in the data folder; locked by commands that use the service of another command
LOCK = "serve.lock"  # in the data folder; it holds the service's process id and, once it answers, its URL
HOST = "127.0.0.1"
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class RunningService:
    """A service that runs, or starts. own: it was started for this command, and ends with it.

    url: returns its URL once it answers; raises CannotStart.
    """

    url: Callable[[], str]
    own: bool


@contextmanager
def service_on(data_dir: Path, queues: Sequence[Queue]) -> Iterator[RunningService]:
    """Yield the service on the data folder. If none runs there, start one, and stop it after the block.

    queues: those in which a job may wait that is going to run, whose workers start at once; none if no job is, so that
    the API is enough.
    Raises CannotStart.
    """
    running = find_running(data_dir)
    if running is not None:
        with (data_dir / USERS).open("a") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            yield RunningService(lambda: running, own=False)
    elif queues:
        with _started(["api.embedded", *queues], data_dir, 0) as (process, log):
            try:
                yield RunningService(lambda: _announced(process, log), own=True)
            finally:
                _wait_for_users(data_dir)
    else:
        port = free_port(HOST)
        with _started(["api"], data_dir, port, broker=f"unix://{(data_dir / 'no-broker').resolve()}") as (process, log):
            yield RunningService(lambda: _answering(process, log, port), own=True)


def _wait_for_users(data_dir: Path) -> None:
    """Wait until no other command uses our service, or it would lose its job's worker. Ctrl-C ends the wait."""
    try:
        users = (data_dir / USERS).open()
    except OSError:  # no command has ever used another's service here
        return
    with users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("genconvnet: another command uses this service, which stops after it (Ctrl-C: now)\n")
            sys.stderr.flush()
            fcntl.flock(users, fcntl.LOCK_EX)


def find_running(data_dir: Path) -> str | None:
    """Return the URL of the service that runs on the data folder; None if none does. Wait for one that is starting.

    Raises CannotStart if it does not answer.
    """
    began_at = time.monotonic()
    while (content := lock_content(data_dir)) is not None:
        process, _, url = content.strip().partition("\n")
        if url and is_alive_at(url):
            return url
        if time.monotonic() - began_at > (ANSWER_SECONDS if url else START_SECONDS):
            raise CannotStart(
                f"a service runs on the data folder {data_dir} (process {process}), but does not answer: stop it, or "
                "choose another folder with --data-dir"
            )
        time.sleep(_PAUSE_SECONDS)
    return None


def is_alive_at(url: str) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return is_alive(host.strip("[]"), int(port))


def lock_content(data_dir: Path) -> str | None:
    """Return what the lock of the data folder holds if a service has locked it, else None."""
    try:
        lock = (data_dir / LOCK).open()
    except OSError:  # no service has ever run here, or not as a user whose files can be read
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read()
    return None


@contextmanager
def _started(
    module: list[str], data_dir: Path, port: int, broker: str | None = None
) -> Iterator[tuple["subprocess.Popen[str]", IO[str]]]:
    """Run `python -m` with `module` on the data folder during the block. Yield it, and its log."""
    environment = {
        **os.environ,
        "GENCONVNET_DATA_DIR": str(data_dir.resolve()),
        "GENCONVNET_HOST": HOST,
        "GENCONVNET_PORT": str(port),
        "GENCONVNET_LOG_FORMAT": "json",  # of which `_refusal` can be read
        **({"GENCONVNET_BROKER_URL": broker} if broker else {}),
        **with_starter(),
    }
    command = [sys.executable, "-P", "-m", *module]
    with tempfile.TemporaryFile("w+") as log:
        # In a session of its own, so that Ctrl-C reaches only this process, which then cancels its job.
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        try:
            yield process, log
        finally:
            _stop(process)


def _announced(process: "subprocess.Popen[str]", log: IO[str]) -> str:
    """Return the URL that the service prints when it answers. Raises CannotStart."""
    assert process.stdout is not None
    found = next((match for line in process.stdout if (match := re.search(r"http://[^\s\"]+", line))), None)
    if found is None:
        raise _refusal(process, log)
    return found.group()


def _answering(process: "subprocess.Popen[str]", log: IO[str], port: int) -> str:
    """Return the URL of an API once it answers. Raises CannotStart."""
    while not is_alive(HOST, port):
        if process.poll() is not None:
            raise _refusal(process, log)
        time.sleep(_PAUSE_SECONDS)
    return own_url(HOST, port)


def _refusal(process: "subprocess.Popen[str]", log: IO[str]) -> CannotStart:
    """Return what the process has said last, which is its reason."""
    process.wait(STOP_SECONDS)
    log.seek(0)
    said = [line for line in log if line.startswith("{")]
    last = json.loads(said[-1]) if said else {"event": "it said nothing"}
    reason = str(last.get("reason", last["event"]))
    return CannotStart(reason.partition(": ")[2] or reason)


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
