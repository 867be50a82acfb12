"""The previews of a job: a few, from the beginning of each of its stages to the latest."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import select

from core.jobs import requests
from core.jobs.leases import JobLease, lock_leased
from core.storage.blobs import StoredBlob
from core.storage.database import Database
from core.storage.errors import NotFound
from core.storage.tables import Job, Preview

MAX_PREVIEWS = 48
FINEST_INTERVAL = 2.0**-10  # in the square root of the iteration


class Moment(Protocol):
    """When a preview was made: the iterations of all stages up to it, its stage, and its iteration in that."""

    @property
    def step(self) -> int: ...
    @property
    def stage(self) -> int: ...
    @property
    def iteration(self) -> int: ...


@dataclass(frozen=True)
class NewPreview:
    """A preview as it is stored; see `Moment`."""

    step: int
    stage: int
    iteration: int
    width: int
    height: int
    stored: StoredBlob


def add(database: Database, lease: JobLease, new: NewPreview) -> list[str]:
    """Keep a preview, and as few others that it stays at MAX_PREVIEWS. Return the paths of the files to delete.

    The previews of a shard are its parent's. Raises LeaseLost.
    """
    with database.write() as session:
        job = lock_leased(session, lease)
        seq = lease.parent_seq or job.seq
        rows = {row.step: row for row in session.scalars(select(Preview).where(Preview.job_seq == seq))}
        dropped = set(rows) - select_moments([*rows.values(), new])
        unwanted = [row for step, row in rows.items() if step in dropped or step == new.step]
        for row in unwanted:
            session.delete(row)
        session.flush()
        session.add(
            Preview(
                job_seq=seq,
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


def select_moments(moments: Iterable[Moment]) -> set[int]:
    """Return the steps of at most MAX_PREVIEWS moments: the last, and the first in each interval of each stage.

    A stage's intervals are equally long in the square root of the iteration, because more changes at its beginning.
    Their length is the smallest power of two with which every stage has no more than its equal share of all moments. So
    intervals merge in pairs as the job goes on, and what is selected does not depend on how often it was done before.
    If there are too many stages, only every second one is selected from, or every fourth.
    """
    stages: dict[int, list[Moment]] = {}
    for moment in sorted(moments, key=lambda one: one.step):
        stages.setdefault(moment.stage, []).append(moment)
    first, last = min(stages), max(of_stage[-1].step for of_stage in stages.values())
    every = 1
    while (max(stages) - first) // every + 1 > MAX_PREVIEWS - 1:
        every *= 2
    stages = {stage: of_stage for stage, of_stage in stages.items() if (stage - first) % every == 0}
    share = (MAX_PREVIEWS - 1) // len(stages)
    return {last, *(step for of_stage in stages.values() for step in _select_of_stage(of_stage, share))}


def _select_of_stage(moments: Sequence[Moment], count: int) -> Iterable[int]:
    """Return the steps of at most `count` moments of a stage, which are in their order."""
    first = moments[0].iteration
    interval = FINEST_INTERVAL

    def number(moment: Moment) -> int:
        return int(math.sqrt(moment.iteration - first) / interval)

    while number(moments[-1]) + 1 > count:
        interval *= 2
    earliest: dict[int, int] = {}
    for moment in moments:
        earliest.setdefault(number(moment), moment.step)
    return earliest.values()


def listing(database: Database, job_id: str) -> Sequence[Preview]:
    """Return the previews of a job in their order. Raises NotFound."""
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
