"""The faults of a chaos run. Each happens to a running rig, and is over when its function returns."""

import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from chaos.rig import LEASE_SECONDS, WORKERS, Rig
from sqlalchemy import func, select, update
from support.postgres import OwnServer

from core.broker.notifier import JobNotifier
from core.jobs import leases
from core.runtime.settings import Settings
from core.schemas.jobs import JobStatus, Queue
from core.storage.tables import Job

HOUR = 3600.0


@dataclass
class Target:
    """The rig that faults happen to, and the PostgreSQL server of its database, None for SQLite."""

    rig: Rig
    random: Random
    postgres: OwnServer | None = None

    def any_worker(self) -> str:
        return self.random.choice(WORKERS)

    def seconds(self, least: float, most: float) -> float:
        return self.random.uniform(least, most)


def worker_killed(target: Target) -> None:
    target.rig.send(target.any_worker(), signal.SIGKILL)


def child_killed(target: Target) -> None:
    for pid in target.rig.children(target.any_worker()):
        target.rig.kill(pid, signal.SIGKILL)


def killed_between_files_and_row(target: Target) -> None:
    """Kill a worker's child as soon as another picture is on the disk."""
    name = target.any_worker()
    before, deadline = _results(target.rig), time.monotonic() + 3
    while time.monotonic() < deadline:
        if _results(target.rig) > before:
            break
        time.sleep(0.002)
    for pid in target.rig.children(name):
        target.rig.kill(pid, signal.SIGKILL)


def api_killed(target: Target) -> None:
    target.rig.send("api", signal.SIGKILL)


def broker_killed(target: Target) -> None:
    with target.rig.down("broker"):
        time.sleep(target.seconds(0, 1))


def broker_wiped(target: Target) -> None:
    with target.rig.down("broker"):
        target.rig.wipe_broker()


def broker_away(target: Target) -> None:
    with target.rig.down("broker"):
        time.sleep(target.seconds(2, 5))


def broker_silent(target: Target) -> None:
    """Stop the broker's process: its connections stay open and nothing answers."""
    target.rig.send("broker", signal.SIGSTOP, target.seconds(2, 6))


def database_away(target: Target) -> None:
    """Stop PostgreSQL as a crash does; lock SQLite from outside."""
    seconds = target.seconds(2, 6)
    if target.postgres is not None:
        target.postgres.stop()
        time.sleep(seconds)
        target.postgres.start()
        return
    lock = sqlite3.connect(target.rig.data_dir / "genconvnet.sqlite3", isolation_level=None, timeout=30)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
    finally:
        lock.close()


def worker_deployed(target: Target) -> None:
    target.rig.send(target.any_worker(), signal.SIGTERM)


def zombie(target: Target) -> None:
    """Stop a worker and its child for longer than its lease, and let them go on."""
    target.rig.send_all(target.any_worker(), signal.SIGSTOP, LEASE_SECONDS + target.seconds(0.5, 2))


def notified_twice(target: Target) -> None:
    """Notify workers again of jobs that have not ended, of each twice at once."""
    with target.rig.database.read() as session:
        found = session.execute(select(Job.queue, Job.id).where(Job.finished_at.is_(None), Job.shards == 0)).all()
    notifier = JobNotifier(target.rig.broker_url)
    for queue, job_id in found[:20]:
        threads = [threading.Thread(target=notifier.notify, args=(Queue(queue), job_id)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    notifier.close()


def clock_set(target: Target) -> None:
    """Move all leases by an hour, as setting the database's clock would."""
    hour = target.random.choice((HOUR, -HOUR))
    moved = {column: getattr(Job, column) + hour for column in ("leased_at", "lease_until", "notified_at")}
    with target.rig.database.write() as session:
        session.execute(update(Job).where(Job.finished_at.is_(None)).values(moved))


def claimed_and_lost(target: Target) -> None:
    """Claim jobs in two threads, and never work on them."""
    queue = target.random.choice(list(Queue))

    def claim() -> None:
        leases.claim(target.rig.database, queue, "a lost worker", LEASE_SECONDS)

    threads = [threading.Thread(target=claim) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


FAULTS: dict[str, Callable[[Target], None]] = {
    function.__name__: function
    for function in (
        worker_killed,
        child_killed,
        killed_between_files_and_row,
        api_killed,
        broker_killed,
        broker_wiped,
        broker_away,
        broker_silent,
        database_away,
        worker_deployed,
        zombie,
        notified_twice,
        clock_set,
        claimed_and_lost,
    )
}


def unfinished(rig: Rig) -> int:
    """Return the number of jobs that have not ended."""
    waiting = Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING)) & Job.parent_seq.is_(None)
    with rig.database.read() as session:
        return session.scalar(select(func.count()).where(waiting)) or 0


def _results(rig: Rig) -> int:
    """Return the number of pictures that jobs have stored."""
    folder = Settings(data_dir=rig.data_dir).data_dir / "blobs" / "jobs"
    return sum(1 for path in folder.rglob("*.png") if not path.name.startswith("preview"))
