"""Rows of trained models."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from core.storage import audit, quotas
from core.storage.access import owner_of
from core.storage.database import Database
from core.storage.datasets import refuse_while_needed
from core.storage.errors import NotFound
from core.storage.idempotency import Idempotency, create_once
from core.storage.tables import Job, JobModel, Model


def add(database: Database, model: Model, idempotency: Idempotency | None = None) -> Model:
    """Insert an uploaded model, or return the one that was made by the same request under the same Idempotency-Key.

    Raises LimitReached if its bytes exceed the storage limit of its owner, and Conflict if the Idempotency-Key was used
    for another request.
    """

    def create(session: Session) -> Model:
        quotas.check_storage_limit(session, model.bytes)
        model.owner_seq = owner_of(session)
        session.add(model)
        audit.add(session, "model.create", model.id)
        session.flush()
        session.refresh(model)
        return model

    return create_once(database, Model, idempotency, create)


def find(database: Database, model_id: str) -> Model:
    """Return a model. Raises NotFound."""
    with database.read() as session:
        return _get(session, model_id)


def find_by_content(database: Database, sha256: str) -> Model | None:
    """Return the newest model whose file has this SHA-256, if any."""
    query = select(Model).where(Model.sha256 == sha256).order_by(Model.seq.desc()).limit(1)
    with database.read() as session:
        return session.scalar(query)


def listing(database: Database, *, limit: int, after: str | None = None) -> Sequence[Model]:
    """Return at most `limit` models, newest first, older than the one with id `after`. Raises NotFound."""
    query = select(Model).order_by(Model.seq.desc()).limit(limit)
    with database.read() as session:
        if after is not None:
            query = query.where(Model.seq < _get(session, after).seq)
        return session.scalars(query).all()


def rename(database: Database, model_id: str, name: str | None) -> Model:
    """Set a model's name and return the model. Raises NotFound."""
    with database.write() as session:
        model = _get(session, model_id, lock=True)
        model.name = name
        audit.add(session, "model.rename", model_id, name=name)
        return model


def update_log_partition(
    database: Database, model_id: str, improve: Callable[[dict[str, Any] | None], dict[str, Any]]
) -> dict[str, Any]:
    """Replace what is kept of a model's log Z by what `improve` makes of it; return that. Raises NotFound.

    The row is locked meanwhile, so that nothing is lost if two jobs estimate it at the same time.
    """
    with database.write() as session:
        model = _get(session, model_id, lock=True)
        model.log_partition = improve(model.log_partition)
        return model.log_partition


def delete(database: Database, model_id: str) -> list[str]:
    """Delete a model and return the path of its file, which the caller deletes.

    Raises NotFound, or Conflict if an unfinished job needs it.
    """
    with database.write() as session:
        model = _get(session, model_id, lock=True)
        among_several = Job.models.any(JobModel.model_id == model_id)
        refuse_while_needed(session, or_(Job.model_id == model_id, among_several), f"model {model_id}")
        session.delete(model)
        audit.add(session, "model.delete", model_id)
        return [model.blob]


def _get(session: Session, model_id: str, *, lock: bool = False) -> Model:
    query = select(Model).where(Model.id == model_id)
    model = session.scalar(query.with_for_update() if lock else query)
    if model is None:
        raise NotFound("model", model_id)
    return model
