"""Rows of datasets and their pictures."""

from collections.abc import Collection, Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from core.schemas.blending import MAX_BLENDED
from core.schemas.jobs import JobStatus
from core.schemas.materials import MaterialMap
from core.schemas.references import DATASET_PARAMS
from core.storage import audit, quotas
from core.storage.access import UNSCOPED, owner_of
from core.storage.database import Database
from core.storage.errors import Conflict, NotFound
from core.storage.idempotency import Idempotency, create_once
from core.storage.tables import Dataset, DatasetImage, Job


def add(database: Database, dataset: Dataset, idempotency: Idempotency | None = None) -> Dataset:
    """Insert a dataset, or return the one that was made by the same request under the same Idempotency-Key.

    Raises LimitReached if its bytes exceed the storage limit of its owner, and Conflict if the Idempotency-Key was used
    for another request.
    """

    def create(session: Session) -> Dataset:
        quotas.check_storage_limit(session, sum(image.bytes for image in dataset.images))
        dataset.owner_seq = owner_of(session)
        session.add(dataset)
        audit.add(session, "dataset.create", dataset.id)
        session.flush()
        session.refresh(dataset)
        return dataset

    return create_once(database, Dataset, idempotency, create)


def find(database: Database, dataset_id: str) -> Dataset:
    """Return a dataset. Raises NotFound."""
    with database.read() as session:
        return _get(session, dataset_id)


def names(database: Database, dataset_ids: Collection[str]) -> dict[str, str]:
    """Return by id what each dataset is called: its name, or its first picture's and how many more it has.

    A dataset that is not there has no name.
    """
    if not dataset_ids:
        return {}
    first, every = aliased(DatasetImage), aliased(DatasetImage)
    pictures = select(func.count()).where(every.dataset_seq == Dataset.seq).scalar_subquery()
    query = (
        select(Dataset.id, Dataset.name, first.filename, pictures.label("pictures"))
        .join(first, (first.dataset_seq == Dataset.seq) & (first.index == 0))
        .where(Dataset.id.in_(dataset_ids))
    )
    with database.read() as session:
        rows = session.execute(query).all()
    return {row.id: row.name or _named_after(row.filename, row.pictures) for row in rows}


def names_by_job(database: Database, job_ids: Collection[str]) -> dict[str, str]:
    """Return by the id of a job what its dataset is called. A job without a dataset that is there is left out."""
    if not job_ids:
        return {}
    with database.read() as session:
        found = session.execute(select(Job.id, Job.dataset_id).where(Job.id.in_(job_ids))).all()
    called = names(database, {dataset_id for _, dataset_id in found if dataset_id is not None})
    return {job_id: called[dataset_id] for job_id, dataset_id in found if dataset_id in called}


def _named_after(filename: str, pictures: int) -> str:
    return filename if pictures == 1 else f"{filename} and {pictures - 1} more"


def maps_of(dataset: Dataset) -> tuple[MaterialMap, ...]:
    """Return the maps of a material, in the order of the dataset's pictures; none for a dataset of pictures."""
    return tuple(
        MaterialMap(role=image.role, channels=1 if image.mode == "L" else 3, bits=image.bits)
        for image in dataset.images
        if image.role is not None
    )


def find_by_first_picture(database: Database, sha256: str) -> Sequence[Dataset]:
    """Return the datasets whose first picture has this SHA-256, newest first."""
    first = Dataset.images.any((DatasetImage.index == 0) & (DatasetImage.sha256 == sha256))
    with database.read() as session:
        return session.scalars(select(Dataset).where(first).order_by(Dataset.seq.desc())).all()


def listing(database: Database, *, limit: int, after: str | None = None) -> Sequence[Dataset]:
    """Return at most `limit` datasets, newest first, older than the one with id `after`. Raises NotFound."""
    query = select(Dataset).order_by(Dataset.seq.desc()).limit(limit)
    with database.read() as session:
        if after is not None:
            query = query.where(Dataset.seq < _get(session, after).seq)
        return session.scalars(query).all()


def delete(database: Database, dataset_id: str) -> list[str]:
    """Delete a dataset and return the paths of its files, which the caller deletes.

    Raises NotFound, or Conflict if an unfinished job needs it.
    """
    with database.write() as session:
        dataset = _get(session, dataset_id, lock=True)
        masks = (("blend", index, "mask_dataset_id") for index in range(MAX_BLENDED))
        named = (Job.params[name].as_string() == dataset_id for name in (*DATASET_PARAMS, *masks))
        refuse_while_needed(session, or_(Job.dataset_id == dataset_id, *named), f"dataset {dataset_id}")
        files = [image.blob for image in dataset.images]
        session.delete(dataset)
        audit.add(session, "dataset.delete", dataset_id)
        return files


def refuse_while_needed(session: Session, needs: object, what: str) -> None:
    """Raise Conflict if an unfinished job of any owner matches `needs`, an SQL condition on jobs."""
    unfinished = (JobStatus.QUEUED, JobStatus.RUNNING)
    query = select(Job.id).where(needs, Job.status.in_(unfinished), Job.parent_seq.is_(None)).limit(1)  # type: ignore[arg-type]
    if session.scalar(query, execution_options=UNSCOPED) is not None:
        job_id = session.scalar(query)  # None if the job belongs to another owner, whose id must not be shown
        raise Conflict(f"{what} is needed by {f'job {job_id}' if job_id else 'a job'}, which has not ended")


def _get(session: Session, dataset_id: str, *, lock: bool = False) -> Dataset:
    query = select(Dataset).where(Dataset.id == dataset_id)
    dataset = session.scalar(query.with_for_update() if lock else query)
    if dataset is None:
        raise NotFound("dataset", dataset_id)
    return dataset
