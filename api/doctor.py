"""What `genconvnet doctor` looks at: every part of a set-up, and what to mend."""

import fcntl
import importlib.metadata
import importlib.util
import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from sqlalchemy import select

from api.auth.exposure import is_exposed, reachable_address
from api.embedded import broker as own_broker
from api.settings import ApiSettings
from core.broker.connection import connect
from core.broker.heartbeat import listening
from core.jobs.counts import counted
from core.schemas.jobs import Queue
from core.schemas.times import DAY_SECONDS
from core.storage import keys, orphaned_files, revision
from core.storage.blobs import Blobs
from core.storage.clock import now
from core.storage.database import Database
from core.storage.tables import Artifact, DatasetImage, Job, Model

SKEW_SECONDS, OLD_SECONDS, SAMPLED_FILES, TORCH_SECONDS = 5.0, 3600.0, 200, 120
PACKAGES = ("fastapi", "sqlalchemy", "celery", "redis", "obstore")
SEE_TORCH = """
import torch
gpu = torch.cuda.is_available()
seen = f"GPU {torch.cuda.get_device_name(0)}" if gpu else f"no GPU, CUDA {torch.version.cuda}"
print(f"{torch.__version__}, {seen}")
"""


class CheckFailed(Exception):
    """What is wrong, and what to do about it."""

    def __init__(self, told: str, advice: str) -> None:
        super().__init__(told)
        self.told, self.advice = told, advice


@dataclass(frozen=True)
class Finding:
    """ok: None where it was not looked at, as there is nothing to see."""

    check: str
    ok: bool | None
    told: str
    advice: str = ""


class NothingToSee(Exception):
    """The check has no meaning here."""


def examine(settings: ApiSettings, deep: bool) -> Iterator[Finding]:
    """Each check in turn."""
    for name, advice, check in _checks(settings, deep):
        try:
            yield Finding(name, True, check())
        except NothingToSee as reason:
            yield Finding(name, None, str(reason))
        except CheckFailed as wrong:
            yield Finding(name, False, wrong.told, wrong.advice)
        except Exception as error:  # whatever it is, this part is not well
            told = str(error).splitlines()[0] if str(error) else type(error).__name__
            yield Finding(name, False, told, advice)


def _checks(settings: ApiSettings, deep: bool) -> Iterator[tuple[str, str, Callable[[], str]]]:
    """Name, what to do where it fails in an unforeseen way, and the check itself."""
    yield "python", "", _python
    yield "torch", "", _torch
    yield "data folder", "make it, or choose another by --data-dir", lambda: _folder(settings)
    database = Database(settings.rows_url) if _rows_are_there(settings) else None
    reach = "is the server up, and GENCONVNET_DATABASE_URL right?"
    yield "database", reach, lambda: revision.check(_opened(database))
    yield "clock", reach, lambda: _clock(_opened(database))
    yield "jobs", reach, lambda: _jobs(_opened(database))
    yield "keys", reach, lambda: _keys(settings, _opened(database))
    advice = "is there room, and are GENCONVNET_BLOB_URL and the AWS_* variables right?"
    yield "blobs", advice, lambda: _blobs(settings)
    yield "files", advice, lambda: _files(settings, _opened(database), deep)
    advice = "is the server up, and GENCONVNET_BROKER_URL right?"
    yield "broker", advice, lambda: _broker(settings)
    yield "workers", advice, lambda: _workers(settings)
    if database is not None:
        database.dispose()


def _python() -> str:
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{platform.python_version()}, {packages}"


def _torch() -> str:
    """In a process of its own, for this one has no torch."""
    if importlib.util.find_spec("torch") is None:
        raise NothingToSee("not installed, and only workers need it: pip install 'genconvnet[worker]'")
    command = [sys.executable, "-P", "-c", SEE_TORCH]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=TORCH_SECONDS, check=False)
    if seen.returncode != 0:
        reason = (seen.stderr.strip().splitlines() or ["it cannot be imported"])[-1]
        raise CheckFailed(reason, "install it anew: pip install --force-reinstall torch")
    if "no GPU" in seen.stdout and shutil.which("nvidia-smi"):
        advice = (
            "PyTorch sees no GPU beside a driver: take a build for it from https://pytorch.org/get-started/locally/"
        )
        raise CheckFailed(seen.stdout.strip(), advice)
    return seen.stdout.strip()


def _folder(settings: ApiSettings) -> str:
    folder = settings.data_dir
    if not folder.is_dir():
        raise CheckFailed(
            f"{folder} is not there", "the service makes it when it starts; or name another by --data-dir"
        )
    probe = folder / f"doctor-{secrets.token_hex(4)}"
    try:
        probe.write_bytes(b"probe")
        probe.unlink()
    except OSError as error:
        raise CheckFailed(
            f"{folder} cannot be written: {error.strerror}", f"give this user the folder: chown, or chmod {folder}"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < settings.min_free_bytes:
        raise CheckFailed(f"{free >> 20} MiB are free in {folder}", "make room: delete jobs, or move the folder")
    return f"{folder.resolve()}, {free >> 20} MiB free"


def _rows_are_there(settings: ApiSettings) -> bool:
    return settings.database_url is not None or (settings.data_dir / "genconvnet.sqlite3").exists()


def _opened(database: Database | None) -> Database:
    if database is None:
        raise NothingToSee("no rows yet: the service makes them when it starts")
    return database


def _clock(database: Database) -> str:
    with database.read() as session:
        skew = (session.scalar(select(now())) or 0.0) - time.time()
    if abs(skew) > SKEW_SECONDS:
        raise CheckFailed(f"the database's clock differs from this machine's by {skew:.0f} s", "set both by NTP")
    return f"{abs(skew):.1f} s from the database's"


def _jobs(database: Database) -> str:
    counts = counted(database)
    waiting = sum(counts.depth.values())
    oldest = max(counts.oldest_seconds.values())
    with database.read() as session:
        struck = session.scalars(select(Job.id).where(Job.failures >= 2, Job.finished_at.is_(None))).all()
    if struck:
        raise CheckFailed(
            f"{', '.join(struck[:3])} lost workers again and again", "see the worker's log: memory, most often"
        )
    if oldest > OLD_SECONDS:
        raise CheckFailed(
            f"{waiting} wait, the oldest for {oldest / 3600:.1f} h", "start more workers, or see why none works"
        )
    return f"{waiting} wait"


def _keys(settings: ApiSettings, database: Database) -> str:
    there, address = keys.any_unrevoked(database), reachable_address(settings)
    if is_exposed(settings) and not there:
        if not settings.without_keys:
            raise CheckFailed(
                f"other machines reach {address}, and there are no keys", "genconvnet keys create NAME --admin"
            )
        return f"none, and all who reach {address} may use it, as GENCONVNET_WITHOUT_KEYS says"
    return f"{'every request needs one' if there else 'none is needed'}, reached on {address}"


def _blobs(settings: ApiSettings) -> str:
    if settings.blob_url is None and not settings.data_dir.is_dir():
        raise NothingToSee("no files yet: the service makes their folder when it starts")
    blobs, path = Blobs(settings.blobs_url), f"doctor/{secrets.token_hex(8)}"
    blobs.put(path, b"probe")
    if blobs.get(path) != b"probe":
        raise CheckFailed("what was written is not what is read", "the store is broken")
    blobs.delete(path)
    return f"{settings.blobs_url} can be written and read"


def _files(settings: ApiSettings, database: Database, deep: bool) -> str:
    """Of every row that names a file, or of the newest, whether it is there; with `deep`, files without a row too."""
    blobs = Blobs(settings.blobs_url)
    named = _named(database, None if deep else SAMPLED_FILES)
    missing = [path for path in named if not blobs.exists(path)]
    if missing:
        told = f"{len(missing)} of {len(named)} files that rows name are missing: {', '.join(missing[:3])}"
        raise CheckFailed(told, "restore them from a backup, or delete what they belong to")
    if not deep:
        return f"{len(named)} looked for, all there (--deep looks for every one)"
    strays = sum(1 for _ in orphaned_files.find(database, blobs, settings.orphan_days * DAY_SECONDS))
    return f"all {len(named)} are there; {strays} belong to no row (`genconvnet sweep` removes them)"


def _named(database: Database, limit: int | None) -> list[str]:
    with database.read() as session:
        found: list[str] = []
        for column in (DatasetImage.blob, Artifact.blob, Model.blob, Job.checkpoint):
            query = select(column).where(column.is_not(None)).order_by(column.desc()).limit(limit)
            found += [path for path in session.scalars(query) if path is not None]
        return found


def _broker(settings: ApiSettings) -> str:
    with _reached(settings) as redis:
        about = dict(redis.info())
    name = about.get("server_name", "redis")
    version = about.get(f"{name}_version", about["redis_version"])
    policy = str(about.get("maxmemory_policy"))
    if policy.startswith("allkeys"):  # what may go is news, which has a time to live
        told = f"{name} {version} throws messages away ({policy}) when its memory is full"
        raise CheckFailed(told, "set maxmemory-policy volatile-lru")
    if not about.get("aof_enabled"):
        raise CheckFailed(f"{name} {version} keeps nothing over a restart", "set appendonly yes")
    return f"{name} {version}, {policy}, appendonly"


def _workers(settings: ApiSettings) -> str:
    with _reached(settings) as redis:
        present = {queue: listening(redis, queue) for queue in Queue}
    for queue, number in present.items():
        if number == 0:
            raise CheckFailed(
                f"nobody listens to the queue {queue.value}", f"start one: genconvnet worker --queue {queue.value}"
            )
    return ", ".join(f"{number} on {queue.value}" for queue, number in present.items())


def _reached(settings: ApiSettings) -> Redis:
    """The broker that is named, or the one of the service that runs on the folder."""
    if "broker_url" in settings.model_fields_set:
        return connect(settings.broker_url, 2.0)
    if not _is_served(settings.data_dir):
        own_broker.find_server()
        raise NothingToSee("`genconvnet serve` does not run on this folder, and starts its own")
    socket = (settings.data_dir / "broker" / "valkey.sock").resolve()
    if not socket.exists():
        raise NothingToSee(
            "the folder's path is too long for a socket, so its broker's lies where only the service knows"
        )
    return connect(f"unix://{socket}", 2.0)


def _is_served(data_dir: Path) -> bool:
    try:
        lock = os.open(data_dir / "serve.lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
