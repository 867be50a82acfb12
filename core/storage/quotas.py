"""What a key may still have: checked in the transaction that would give it more, one such at a time of each key."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.schemas.jobs import JobStatus
from core.storage.access import access_of
from core.storage.database import Database
from core.storage.errors import LimitReached
from core.storage.tables import ApiKey, Artifact, Dataset, DatasetImage, Job, Model

JOBS_RETRY_SECONDS = 10
BYTES_RETRY_SECONDS = 60  # nothing frees room but its owner, or what sweeps old jobs away
UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)


def check_job_limit(session: Session) -> None:
    """Raises LimitReached where the key has as many unfinished jobs as it may have, or no room for results."""
    check_storage_limit(session, 1)
    most = access_of(session).max_unfinished_jobs
    if most is None:
        return
    owner = _lock_key(session)
    mine = (Job.owner_seq == owner, Job.parent_seq.is_(None), Job.status.in_(UNFINISHED))
    unfinished = session.scalar(select(func.count()).select_from(Job).where(*mine)) or 0
    if unfinished >= most:
        detail = f"this key may have {most} unfinished jobs at a time (max_unfinished_jobs), and has {unfinished}"
        raise LimitReached(detail, JOBS_RETRY_SECONDS)


def check_storage_limit(session: Session, more: int) -> None:
    """Raises LimitReached where `more` bytes are more than the key has room for."""
    most = access_of(session).max_stored_bytes
    if most is None:
        return
    owner = _lock_key(session)
    stored = _stored_bytes(session, owner)
    if stored + more > most:
        detail = f"this key may store {most} bytes (max_stored_bytes), and {stored} of them are in use"
        raise LimitReached(f"{detail}: delete datasets, jobs or models that are not needed", BYTES_RETRY_SECONDS)


def check_storage_before_upload(database: Database, more: int) -> None:
    """`check_storage_limit` ahead of an upload, which is checked again when its real size is known."""
    if database.access.max_stored_bytes is not None:
        with database.read() as session:
            check_storage_limit(session, more)


def _lock_key(session: Session) -> int:
    """Until this transaction has ended, no other adds to what the key has."""
    owner = access_of(session).owner
    session.scalar(select(ApiKey.seq).where(ApiKey.seq == owner).with_for_update(key_share=True))
    assert owner is not None  # only a key has limits
    return owner


def _stored_bytes(session: Session, owner: int) -> int:
    """Of all files that the key's rows name."""
    pictures = select(func.sum(DatasetImage.bytes)).join(Dataset, Dataset.seq == DatasetImage.dataset_seq)
    results = select(func.sum(Artifact.bytes)).join(Job, Job.seq == Artifact.job_seq)
    models = select(func.sum(Model.bytes))
    sums = (pictures.where(Dataset.owner_seq == owner), results.where(Job.owner_seq == owner))
    return sum(int(session.scalar(one) or 0) for one in (*sums, models.where(Model.owner_seq == owner)))
