"""What may befall the service. Each fault happens to a running rig, and is over when its function returns."""

import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from chaos.rig import LEASE_SECONDS, Rig
from redis import RedisError
from sqlalchemy import func, select, update
from support.postgres import OwnServer

from core.broker.notifier import JobNotifier
from core.jobs import leases
from core.runtime.settings import Settings
from core.schemas.jobs import JobStatus, Queue
from core.storage.tables import Job

WORKERS = ("worker-train", "worker-sample-1", "worker-sample-2")
HOUR = 3600.0


@dataclass
class Scene:
    """Where faults happen; `postgres` where the rows lie in one."""

    rig: Rig
    random: Random
    postgres: OwnServer | None = None

    def any_worker(self) -> str:
        return self.random.choice(WORKERS)

    def a_while(self, least: float, most: float) -> float:
        return self.random.uniform(least, most)


def worker_killed(scene: Scene) -> None:
    scene.rig.send(scene.any_worker(), signal.SIGKILL)


def child_killed(scene: Scene) -> None:
    for pid in scene.rig.children(scene.any_worker()):
        scene.rig.kill(pid, signal.SIGKILL)


def killed_between_files_and_row(scene: Scene) -> None:
    """A child is killed as soon as another result of its job lies on the disk."""
    name = scene.any_worker()
    before, deadline = _results(scene.rig), time.monotonic() + 3
    while time.monotonic() < deadline:
        if _results(scene.rig) > before:
            break
        time.sleep(0.002)
    for pid in scene.rig.children(name):
        scene.rig.kill(pid, signal.SIGKILL)


def api_killed(scene: Scene) -> None:
    scene.rig.send("api", signal.SIGKILL)


def broker_killed(scene: Scene) -> None:
    with scene.rig.down("broker"):
        time.sleep(scene.a_while(0, 1))


def broker_wiped(scene: Scene) -> None:
    with scene.rig.down("broker"):
        scene.rig.wipe_broker()


def broker_away(scene: Scene) -> None:
    with scene.rig.down("broker"):
        time.sleep(scene.a_while(2, 5))


def broker_silent(scene: Scene) -> None:
    """Its connections stay open, and nobody answers."""
    scene.rig.send("broker", signal.SIGSTOP, scene.a_while(2, 6))


def database_away(scene: Scene) -> None:
    """PostgreSQL is stopped as a crash does it; SQLite is locked from outside."""
    seconds = scene.a_while(2, 6)
    if scene.postgres is not None:
        scene.postgres.stop()
        time.sleep(seconds)
        scene.postgres.start()
        return
    lock = sqlite3.connect(scene.rig.data_dir / "genconvnet.sqlite3", isolation_level=None, timeout=30)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
    finally:
        lock.close()


def worker_deployed(scene: Scene) -> None:
    scene.rig.send(scene.any_worker(), signal.SIGTERM)


def zombie(scene: Scene) -> None:
    """A worker stands still for longer than its lease, and then goes on as if nothing had been."""
    scene.rig.send_all(scene.any_worker(), signal.SIGSTOP, LEASE_SECONDS + scene.a_while(0.5, 2))


def rung_twice(scene: Scene) -> None:
    """Every job that has not ended is rung for again, several times at once."""
    with scene.rig.database.read() as session:
        found = session.execute(select(Job.queue, Job.id).where(Job.finished_at.is_(None), Job.shards == 0)).all()
    notifier = JobNotifier(scene.rig.broker_url)
    for queue, job_id in found[:20]:
        threads = [threading.Thread(target=notifier.notify, args=(Queue(queue), job_id)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    notifier.close()


def clock_set(scene: Scene) -> None:
    """Moving all leases by an hour is what setting the database's clock by an hour does to them."""
    hour = scene.random.choice((HOUR, -HOUR))
    moved = {column: getattr(Job, column) + hour for column in ("leased_at", "lease_until", "notified_at")}
    with scene.rig.database.write() as session:
        session.execute(update(Job).where(Job.finished_at.is_(None)).values(moved))


def claimed_and_lost(scene: Scene) -> None:
    """Someone takes jobs beside the workers, in parallel, and is never heard of again."""
    queue = scene.random.choice(list(Queue))

    def take() -> None:
        leases.claim(scene.rig.database, queue, "a stranger", LEASE_SECONDS)

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


FAULTS: dict[str, Callable[[Scene], None]] = {
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
        rung_twice,
        clock_set,
        claimed_and_lost,
    )
}


def unfinished(rig: Rig) -> int:
    """How many jobs have not ended."""
    waiting = Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING)) & Job.parent_seq.is_(None)
    with rig.database.read() as session:
        return session.scalar(select(func.count()).where(waiting)) or 0


def messages(rig: Rig) -> dict[str, int]:
    """In the broker, by queue; empty where it does not answer."""
    with suppress(RedisError, OSError), rig.redis() as redis:
        return {queue.value: int(redis.llen(queue.value)) for queue in Queue}
    return {}


def _results(rig: Rig) -> int:
    folder = Settings(data_dir=rig.data_dir).data_dir / "blobs" / "jobs"
    return sum(1 for path in folder.rglob("*.png") if not path.name.startswith("preview"))
