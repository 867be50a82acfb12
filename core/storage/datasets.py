"""Datasets: pictures as they were accepted."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.schemas.jobs import JobStatus
from core.storage import audit, quotas
from core.storage.access import UNSCOPED, owner_of
from core.storage.database import Database
from core.storage.errors import Conflict, NotFound
from core.storage.tables import Dataset, Job


def add(database: Database, dataset: Dataset) -> Dataset:
    """Raises LimitReached where its owner may not store so much."""
    with database.write() as session:
        quotas.check_storage_limit(session, sum(image.bytes for image in dataset.images))
        dataset.owner_seq = owner_of(session)
        session.add(dataset)
        audit.add(session, "dataset.create", dataset.id)
        session.flush()
        session.refresh(dataset)
        return dataset


def find(database: Database, dataset_id: str) -> Dataset:
    """Raises NotFound."""
    with database.read() as session:
        return _get(session, dataset_id)


def listing(database: Database, *, limit: int, after: str | None = None) -> Sequence[Dataset]:
    """Newest first, at most `limit`, those older than the dataset `after`. NotFound where there is no such dataset."""
    query = select(Dataset).order_by(Dataset.seq.desc()).limit(limit)
    with database.read() as session:
        if after is not None:
            query = query.where(Dataset.seq < _get(session, after).seq)
        return session.scalars(query).all()


def delete(database: Database, dataset_id: str) -> list[str]:
    """Delete; gives the paths of its files, to be deleted now. Conflict while a job that needs it waits or runs."""
    with database.write() as session:
        dataset = _get(session, dataset_id, lock=True)
        refuse_while_needed(session, Job.dataset_id == dataset_id, f"dataset {dataset_id}")
        files = [image.blob for image in dataset.images]
        session.delete(dataset)
        audit.add(session, "dataset.delete", dataset_id)
        return files


def refuse_while_needed(session: Session, needs: object, what: str) -> None:
    """Conflict where a job that `needs` it (a condition on jobs), whosever it is, has not ended."""
    unfinished = (JobStatus.QUEUED, JobStatus.RUNNING)
    query = select(Job.id).where(needs, Job.status.in_(unfinished), Job.parent_seq.is_(None)).limit(1)  # type: ignore[arg-type]
    if session.scalar(query, execution_options=UNSCOPED) is not None:
        job_id = session.scalar(query)  # an admin's may need it too, which its owner does not get to see
        raise Conflict(f"{what} is needed by {f'job {job_id}' if job_id else 'a job'}, which has not ended")


def _get(session: Session, dataset_id: str, *, lock: bool = False) -> Dataset:
    query = select(Dataset).where(Dataset.id == dataset_id)
    dataset = session.scalar(query.with_for_update() if lock else query)
    if dataset is None:
        raise NotFound("dataset", dataset_id)
    return dataset
