"""The checks of `genconvnet doctor`: each part of an installation, and advice if something is wrong with it."""

import importlib.metadata
import importlib.util
import platform
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from redis import Redis
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from api.auth.exposure import is_exposed, reachable_address
from api.embedded import broker as embedded_broker
from api.embedded.attached import lock_content
from api.files.disk_space import find_shortage
from api.settings import ApiSettings
from core.broker.connection import connect
from core.broker.heartbeat import count_workers
from core.jobs.counts import count_jobs
from core.runtime.variables import find_unknown
from core.schemas.jobs import Queue
from core.schemas.times import DAY_SECONDS
from core.storage import keys, orphaned_files, revision
from core.storage.blobs import Blobs
from core.storage.clock import now
from core.storage.database import Database
from core.storage.startup import advice_for, reason_of
from core.storage.tables import Artifact, DatasetImage, Job, Model
from core.version import VERSION

MAX_CLOCK_SKEW_SECONDS, MAX_WAIT_SECONDS, SAMPLED_FILES, TORCH_SECONDS = 5.0, 3600.0, 200, 120
PACKAGES = ("fastapi", "sqlalchemy", "celery", "redis", "obstore")
TORCH_SCRIPT = """
import torch
gpu = torch.cuda.is_available()
seen = f"GPU {torch.cuda.get_device_name(0)}" if gpu else f"no GPU, CUDA {torch.version.cuda}"
print(f"{torch.__version__}, {seen}")
"""


class CheckFailed(Exception):
    """Something is wrong; `advice` says what to do about it."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.message, self.advice = message, advice


class CheckSkipped(Exception):
    """The check does not apply to this installation."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check. `ok` is None if it was skipped."""

    check: str
    ok: bool | None
    message: str
    advice: str = ""

    def as_json(self) -> dict[str, str | bool | None]:
        """Return the fields of a line of `--json`. "told" is what "message" was called before."""
        told = {"message": self.message, "told": self.message}
        return {"check": self.check, "ok": self.ok, **told, "advice": self.advice}


def run_checks(settings: ApiSettings, deep: bool) -> Iterator[CheckResult]:
    """Run the checks one after another and yield the result of each. If `deep`, check the file of every row."""
    for name, default_advice, check in _checks(settings, deep):
        try:
            yield CheckResult(name, True, check())
        except CheckSkipped as reason:
            yield CheckResult(name, None, str(reason))
        except CheckFailed as failure:
            yield CheckResult(name, False, failure.message, failure.advice)
        except DBAPIError as error:
            yield CheckResult(name, False, reason_of(error), advice_for(error))
        except Exception as error:  # any other error also means that this part does not work
            message = str(error).splitlines()[0] if str(error) else type(error).__name__
            yield CheckResult(name, False, message, default_advice)


def _checks(settings: ApiSettings, deep: bool) -> Iterator[tuple[str, str, Callable[[], str]]]:
    """Yield, for each check, its name, the advice if it raises an unexpected error, and the function."""
    yield "python", "", _check_python
    yield "torch", "", _check_torch
    yield "settings", "", _check_variables
    advice = "create it, or choose another folder with --data-dir"
    yield "data folder", advice, lambda: _check_data_folder(settings)
    database = Database(settings.rows_url) if _database_exists(settings) else None
    advice = "is the server running, and is GENCONVNET_DATABASE_URL correct?"
    yield "database", advice, lambda: revision.check(_required(database))
    yield "clock", advice, lambda: _check_clock(_required(database))
    yield "jobs", advice, lambda: _check_jobs(_required(database))
    yield "keys", advice, lambda: _check_keys(settings, _required(database))
    advice = "is the disk full, and are GENCONVNET_BLOB_URL and the AWS_* variables correct?"
    yield "blobs", advice, lambda: _check_blobs(settings)
    yield "files", advice, lambda: _check_files(settings, _required(database), deep)
    advice = "is the server running, and is GENCONVNET_BROKER_URL correct?"
    yield "broker", advice, lambda: _check_broker(settings)
    yield "workers", advice, lambda: _check_workers(settings)
    if database is not None:
        database.dispose()


def _check_variables() -> str:
    """Check that every variable that begins as ours is read: settings that are invalid end the command before."""
    if unknown := find_unknown():
        raise CheckFailed("; ".join(map(str, unknown)), "correct the name, or unset the variable")
    return "every variable that begins with GENCONVNET_ is known"


def _check_python() -> str:
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{platform.python_version()}, genconvnet {VERSION}, {packages}"


def _check_torch() -> str:
    """Import torch in another process, to keep it out of this one."""
    if importlib.util.find_spec("torch") is None:
        raise CheckSkipped("not installed; only workers need it: pip install 'genconvnet[worker]'")
    command = [sys.executable, "-P", "-c", TORCH_SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TORCH_SECONDS, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it cannot be imported"])[-1]
        raise CheckFailed(reason, "reinstall it: pip install --force-reinstall torch")
    if "no GPU" in done.stdout and shutil.which("nvidia-smi"):
        advice = (
            "a GPU driver is installed, but PyTorch finds no GPU: install a build for it, see "
            "https://pytorch.org/get-started/locally/"
        )
        raise CheckFailed(done.stdout.strip(), advice)
    return done.stdout.strip()


def _check_data_folder(settings: ApiSettings) -> str:
    folder = settings.data_dir
    if not folder.is_dir():
        raise CheckFailed(
            f"{folder} does not exist", "the service creates it when it starts; or choose another with --data-dir"
        )
    probe = folder / f"doctor-{secrets.token_hex(4)}"
    try:
        probe.write_bytes(b"probe")
        probe.unlink()
    except OSError as error:
        raise CheckFailed(
            f"{folder} is not writable: {error.strerror}", f"make it writable for this user: chown or chmod {folder}"
        ) from error
    if shortage := find_shortage(folder, settings.min_free_bytes):
        raise CheckFailed(shortage, "free some space: delete jobs, or move the folder")
    return f"{folder.resolve()}, {shutil.disk_usage(folder).free >> 20} MiB free"


def _database_exists(settings: ApiSettings) -> bool:
    return settings.database_url is not None or (settings.data_dir / "genconvnet.sqlite3").exists()


def _required(database: Database | None) -> Database:
    if database is None:
        raise CheckSkipped("no database yet: the service creates it when it starts")
    return database


def _check_clock(database: Database) -> str:
    with database.read() as session:
        skew = (session.scalar(select(now())) or 0.0) - time.time()
    if abs(skew) > MAX_CLOCK_SKEW_SECONDS:
        raise CheckFailed(f"it differs from the database's by {skew:.0f} s", "synchronize both by NTP")
    return f"differs from the database's by {abs(skew):.1f} s"


def _check_jobs(database: Database) -> str:
    counts = count_jobs(database)
    waiting = sum(counts.depth.values())
    oldest = max(counts.oldest_seconds.values())
    with database.read() as session:
        failing = session.scalars(select(Job.id).where(Job.failures >= 2, Job.finished_at.is_(None))).all()
    if failing:
        raise CheckFailed(
            f"{', '.join(failing[:3])} lost their workers repeatedly", "see the worker's log; often memory runs out"
        )
    if oldest > MAX_WAIT_SECONDS:
        raise CheckFailed(
            f"{waiting} jobs wait, the oldest for {oldest / 3600:.1f} h", "start more workers, or check their logs"
        )
    return f"{waiting} jobs wait"


def _check_keys(settings: ApiSettings, database: Database) -> str:
    exist, address = keys.any_unrevoked(database), reachable_address(settings)
    if is_exposed(settings) and not exist:
        if not settings.without_keys:
            raise CheckFailed(
                f"other machines can reach {address}, and there is no key",
                "create one: genconvnet keys create NAME --admin",
            )
        return f"none; everyone who can reach {address} may use the service (GENCONVNET_WITHOUT_KEYS)"
    return f"{'required' if exist else 'not required'}; the service is reached on {address}"


def _check_blobs(settings: ApiSettings) -> str:
    if settings.blob_url is None and not settings.data_dir.is_dir():
        raise CheckSkipped("no files yet: the service creates their folder when it starts")
    blobs, path = Blobs(settings.blobs_url), f"doctor/{secrets.token_hex(8)}"
    blobs.put(path, b"probe")
    if blobs.get(path) != b"probe":
        raise CheckFailed("reading returns other bytes than were written", "the storage is broken")
    blobs.delete(path)
    return f"{settings.blobs_url} is readable and writable"


def _check_files(settings: ApiSettings, database: Database, deep: bool) -> str:
    """Check that the files named by the newest rows exist. If `deep`, check all rows, and count orphaned files."""
    blobs = Blobs(settings.blobs_url)
    named = _named_files(database, None if deep else SAMPLED_FILES)
    missing = [path for path in named if not blobs.exists(path)]
    if missing:
        message = f"{len(missing)} of {len(named)} files named by rows are missing: {', '.join(missing[:3])}"
        raise CheckFailed(message, "restore them from a backup, or delete what they belong to")
    if not deep:
        return f"the {len(named)} newest exist (--deep checks all)"
    orphaned = sum(1 for _ in orphaned_files.find(database, blobs, settings.orphan_days * DAY_SECONDS))
    return f"all {len(named)} exist; {orphaned} belong to no row (`genconvnet sweep` deletes them)"


def _named_files(database: Database, limit: int | None) -> list[str]:
    with database.read() as session:
        found: list[str] = []
        for column in (DatasetImage.blob, Artifact.blob, Model.blob, Job.checkpoint):
            query = select(column).where(column.is_not(None)).order_by(column.desc()).limit(limit)
            found += [path for path in session.scalars(query) if path is not None]
        return found


def _check_broker(settings: ApiSettings) -> str:
    with _connect(settings) as redis:
        about = dict(redis.info())
    name = about.get("server_name", "redis")
    version = about.get(f"{name}_version", about["redis_version"])
    policy = str(about.get("maxmemory_policy"))
    if policy.startswith("allkeys"):  # only job events, which have a time to live, may be evicted
        message = f"{name} {version} discards messages ({policy}) when its memory is full"
        raise CheckFailed(message, "set maxmemory-policy volatile-lru")
    if not about.get("aof_enabled"):
        raise CheckFailed(f"{name} {version} loses its data at a restart", "set appendonly yes")
    return f"{name} {version}, {policy}, appendonly"


def _check_workers(settings: ApiSettings) -> str:
    with _connect(settings) as redis:
        workers = {queue: count_workers(redis, queue) for queue in Queue}
    for queue, number in workers.items():
        if number == 0:
            raise CheckFailed(
                f"no worker listens to the queue {queue.value}", f"start one: genconvnet worker --queue {queue.value}"
            )
    return ", ".join(f"{number} on {queue.value}" for queue, number in workers.items())


def _connect(settings: ApiSettings) -> Redis:
    """Connect to the configured broker, or to that of the `genconvnet serve` that runs on the data folder."""
    if "broker_url" in settings.model_fields_set:
        return connect(settings.broker_url, 2.0)
    if lock_content(settings.data_dir) is None:
        embedded_broker.find_server()
        raise CheckSkipped("`genconvnet serve` is not running on this folder; it starts its own broker")
    socket = embedded_broker.socket_path(settings.data_dir)
    if not socket.exists():
        raise CheckSkipped(
            "the folder's path is too long for a socket, so the broker's socket is in the service's temporary folder"
        )
    return connect(f"unix://{socket}", 2.0)
