"""The previews of a training job: a few, evenly over its learning."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from core.jobs import requests
from core.jobs.leases import JobLease, lock_leased
from core.storage.blobs import StoredBlob
from core.storage.database import Database
from core.storage.errors import NotFound
from core.storage.tables import Job, Preview

MAX_PREVIEWS = 48


@dataclass(frozen=True)
class NewPreview:
    """A preview as it is stored. step: the iterations of all stages up to it."""

    step: int
    stage: int
    iteration: int
    width: int
    height: int
    stored: StoredBlob


def add(database: Database, lease: JobLease, new: NewPreview) -> list[str]:
    """Keep a preview, and as few others that it stays at MAX_PREVIEWS. Return the paths of the files to delete.

    Raises LeaseLost.
    """
    with database.write() as session:
        job = lock_leased(session, lease)
        rows = {row.step: row for row in session.scalars(select(Preview).where(Preview.job_seq == job.seq))}
        dropped = set(rows) - select_evenly([*rows, new.step])
        unwanted = [row for step, row in rows.items() if step in dropped or step == new.step]
        for row in unwanted:
            session.delete(row)
        session.flush()
        session.add(
            Preview(
                job_seq=job.seq,
                step=new.step,
                stage=new.stage,
                iteration=new.iteration,
                width=new.width,
                height=new.height,
                media_type="image/png",
                bytes=new.stored.bytes,
                sha256=new.stored.sha256,
                blob=new.stored.blob,
            )
        )
        return [row.blob for row in unwanted if row.blob != new.stored.blob]


def select_evenly(steps: Sequence[int]) -> set[int]:
    """Return at most MAX_PREVIEWS of `steps`: the last, and the first in each of equally long intervals.

    The interval is the smallest power of two that is long enough. So intervals merge in pairs as learning goes on, and
    what is selected does not depend on how often it was done before.
    """
    first, last = min(steps), max(steps)
    interval = 1
    while (last - first) // interval + 1 > MAX_PREVIEWS - 1:
        interval *= 2
    earliest: dict[int, int] = {}
    for step in sorted(steps):
        earliest.setdefault((step - first) // interval, step)
    return {*earliest.values(), last}


def listing(database: Database, job_id: str) -> Sequence[Preview]:
    """Return the previews of a job in the order of learning. Raises NotFound."""
    job = requests.find(database, job_id)
    with database.read() as session:
        return session.scalars(select(Preview).where(Preview.job_seq == job.seq).order_by(Preview.step)).all()


def find(database: Database, job_id: str, step: int) -> Preview:
    """Return one preview. Raises NotFound."""
    query = select(Preview).join(Job, Job.seq == Preview.job_seq).where(Job.id == job_id, Preview.step == step)
    with database.read() as session:
        row = session.scalar(query)
    if row is None:
        raise NotFound("preview", f"{job_id}/previews/{step}")
    return row
