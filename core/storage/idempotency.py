"""Idempotency keys: what a client asks for twice under one key is created once, and returned both times."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.storage.access import owner_of
from core.storage.database import Database
from core.storage.errors import Conflict
from core.storage.tables import NO_OWNER, Dataset, IdempotencyKey, Job, Model

Row = TypeVar("Row", Job, Dataset, Model)

_COLUMNS = {Job: "job_seq", Dataset: "dataset_seq", Model: "model_seq"}


@dataclass(frozen=True)
class Idempotency:
    """The client's Idempotency-Key and the SHA-256 of its request."""

    key: str
    request_sha256: bytes


def find_earlier(database: Database, table: type[Row], idempotency: Idempotency) -> Row | None:
    """Return the row that was created under this key, if any. Raises Conflict if that was for another request."""
    with database.read() as session:
        return _find(session, table, idempotency)


def create_once(
    database: Database, table: type[Row], idempotency: Idempotency | None, create: Callable[[Session], Row]
) -> Row:
    """Return the row that was created under this key, or else the one that `create` adds; without a key, add it always.

    create: adds and flushes the row; it is called in the transaction that remembers the key. Of concurrent requests
    with one key, one adds its row, and the others return that row. Raises Conflict as `find_earlier`.
    """
    try:
        return _create_once(database, table, idempotency, create)
    except IntegrityError:  # a concurrent request with the same key was first
        if idempotency is None:
            raise
        return _create_once(database, table, idempotency, create)


def _create_once(
    database: Database, table: type[Row], idempotency: Idempotency | None, create: Callable[[Session], Row]
) -> Row:
    with database.write() as session:
        if idempotency is not None and (earlier := _find(session, table, idempotency)):
            return earlier
        row = create(session)
        if idempotency is not None:
            session.add(_key(session, table, idempotency, row.seq))
            session.flush()
        return row


def _find(session: Session, table: type[Row], idempotency: Idempotency) -> Row | None:
    key = session.get(IdempotencyKey, (owner_of(session) or NO_OWNER, idempotency.key))
    if key is None:
        return None
    seq: int | None = getattr(key, _COLUMNS[table])
    if seq is None or key.request_sha256 != idempotency.request_sha256:
        raise Conflict(f"the Idempotency-Key {idempotency.key!r} was already used for another request")
    return session.get(table, seq)  # None if it is being deleted, and the key with it


def _key(session: Session, table: type[Row], idempotency: Idempotency, seq: int) -> IdempotencyKey:
    return IdempotencyKey(
        owner=owner_of(session) or NO_OWNER,
        key=idempotency.key,
        request_sha256=idempotency.request_sha256,
        **{_COLUMNS[table]: seq},
    )
