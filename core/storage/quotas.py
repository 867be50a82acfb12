"""Limits of keys. They are checked in the transaction that adds the row, with the key's row locked."""

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from core.schemas.jobs import JobStatus
from core.storage.access import access_of
from core.storage.database import Database
from core.storage.errors import LimitReached
from core.storage.tables import ApiKey, Artifact, Dataset, DatasetImage, Job, Model, Preview

JOBS_RETRY_SECONDS = 10
BYTES_RETRY_SECONDS = 60  # space is freed only by the owner or by the retention sweep
UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)


def check_job_limit(session: Session) -> None:
    """Raise LimitReached if the key has reached max_unfinished_jobs, or has no storage left for results."""
    check_storage_limit(session, 1)
    limit = access_of(session).max_unfinished_jobs
    if limit is None:
        return
    owner = _lock_key(session)
    mine = (Job.owner_seq == owner, Job.parent_seq.is_(None), Job.status.in_(UNFINISHED))
    unfinished = session.scalar(select(func.count()).select_from(Job).where(*mine)) or 0
    if unfinished >= limit:
        detail = f"this key may have {limit} unfinished jobs at a time (max_unfinished_jobs), and has {unfinished}"
        raise LimitReached(detail, JOBS_RETRY_SECONDS)


def check_storage_limit(session: Session, additional_bytes: int) -> None:
    """Raise LimitReached if `additional_bytes` would exceed max_stored_bytes of the key."""
    limit = access_of(session).max_stored_bytes
    if limit is None:
        return
    owner = _lock_key(session)
    stored = _stored_bytes(session, owner)
    if stored + additional_bytes > limit:
        detail = f"this key may store {limit} bytes (max_stored_bytes), and {stored} of them are in use"
        raise LimitReached(f"{detail}: delete datasets, jobs or models that are not needed", BYTES_RETRY_SECONDS)


def check_storage_before_upload(database: Database, additional_bytes: int) -> None:
    """Call `check_storage_limit` before an upload. `datasets.add` and `models.add` check again with the real size."""
    if database.access.max_stored_bytes is not None:
        with database.read() as session:
            check_storage_limit(session, additional_bytes)


def _lock_key(session: Session) -> int:
    """Lock the row of the session's key until the transaction ends, so that limits are checked one at a time."""
    owner = access_of(session).owner
    session.scalar(select(ApiKey.seq).where(ApiKey.seq == owner).with_for_update(key_share=True))
    assert owner is not None  # only a key has limits
    return owner


def stored_bytes(database: Database) -> dict[str, int]:
    """Return the size of all files of datasets, results and models, of all owners. Checkpoints are not counted."""
    columns: dict[str, tuple[Any, ...]] = {
        "datasets": (DatasetImage.bytes,),
        "results": (Artifact.bytes, Preview.bytes),
        "models": (Model.bytes,),
    }
    with database.read() as session:
        return {
            kind: sum(_total(session, select(func.sum(column))) for column in some) for kind, some in columns.items()
        }


def _stored_bytes(session: Session, owner: int) -> int:
    """Return the size of all files of the key's datasets, jobs and models."""
    pictures = select(func.sum(DatasetImage.bytes)).join(Dataset, Dataset.seq == DatasetImage.dataset_seq)
    results = select(func.sum(Artifact.bytes)).join(Job, Job.seq == Artifact.job_seq)
    previews = select(func.sum(Preview.bytes)).join(Job, Job.seq == Preview.job_seq)
    models = select(func.sum(Model.bytes))
    of_jobs = (one.where(Job.owner_seq == owner) for one in (results, previews))
    sums = (pictures.where(Dataset.owner_seq == owner), *of_jobs, models.where(Model.owner_seq == owner))
    return sum(_total(session, one) for one in sums)


def _total(session: Session, query: Select[Any]) -> int:
    return int(session.scalar(query) or 0)
