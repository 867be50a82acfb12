"""Artifacts and models that a job makes: the rows that describe their files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.schemas.materials import MaterialMap
from core.storage.blobs import StoredBlob
from core.storage.tables import NAME_LENGTH, Artifact, Job, Model, Preview

PREVIEW = "preview.png"  # the latest preview, among a job's artifacts


@dataclass(frozen=True)
class NewArtifact:
    name: str
    media_type: str
    stored: StoredBlob
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class NewModel:
    id: str
    stored: StoredBlob
    params: dict[str, Any]
    channels: int
    maps: Sequence[MaterialMap] = ()


def checkpoint_name(stages: int, iteration: int) -> str:
    """Return the name of a checkpoint's file: `stages` of learning are complete, and `iteration` of the next one."""
    return f"checkpoint-{stages}-{iteration}.safetensors"


def stages_at(checkpoint: str | None) -> int:
    """Return how many stages were complete at a checkpoint, by its path; 0 without one."""
    found = re.search(r"/checkpoint-(\d+)-\d+\.", checkpoint or "")
    return int(found[1]) if found else 0


def attach(job: Job, artifacts: Sequence[NewArtifact]) -> list[str]:
    """Add artifacts to a job, or to its parent if it is a shard. Return the paths of the files that they replace.

    An artifact replaces an earlier one of the same name.
    """
    job = job.parent or job
    present = {artifact.name: artifact for artifact in job.artifacts}
    replaced = []
    for new in artifacts:
        columns = {"media_type": new.media_type, "width": new.width, "height": new.height, **_columns(new.stored)}
        if (row := present.get(new.name)) is None:
            job.artifacts.append(Artifact(name=new.name, **columns))
            continue
        if row.blob != new.stored.blob:
            replaced.append(row.blob)
        for name, value in columns.items():
            setattr(row, name, value)
    return replaced


def drop_previews(session: Session, job: Job) -> list[str]:
    """Remove a job's previews, which its results replace. Return the paths of their files."""
    rows: list[Artifact | Preview] = [one for one in job.artifacts if one.name == PREVIEW]
    rows += session.scalars(select(Preview).where(Preview.job_seq == job.seq))
    for row in rows:
        session.delete(row)
    return [row.blob for row in rows]


def add_model(session: Session, job: Job, model: NewModel) -> None:
    """Add the model that a job has learned.

    The first is named as the job says. One that the job learns when it is resumed is another model: "Bricks 2".
    """
    session.add(
        Model(
            id=model.id,
            owner_seq=job.owner_seq,
            name=job.model_name if job.model_id is None else _next_name(session, job),
            job_id=job.id,
            params=model.params,
            channels=model.channels,
            maps=[one.model_dump() for one in model.maps],
            media_type="application/octet-stream",
            **_columns(model.stored),
        )
    )
    job.model_id = model.id


def _next_name(session: Session, job: Job) -> str | None:
    """Return the job's name for its model with the first number from 2 on that none of the owner's models has."""
    if job.model_name is None:
        return None
    stem = job.model_name[: NAME_LENGTH - len(" 999")]
    names = Model.name.startswith(stem, autoescape=True)
    taken = set(session.scalars(select(Model.name).where(Model.owner_seq == job.owner_seq, names)))
    return next(name for number in count(2) if (name := f"{stem} {number}") not in taken)


def _columns(stored: StoredBlob) -> dict[str, Any]:
    return {"blob": stored.blob, "bytes": stored.bytes, "sha256": stored.sha256}
