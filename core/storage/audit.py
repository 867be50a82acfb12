"""The audit log: entries are written in the transaction of the change that they record, and never changed."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.storage.access import access_of
from core.storage.database import Database
from core.storage.tables import AuditEntry


def add(session: Session, action: str, subject: str | None = None, **detail: object) -> None:
    """Record that the session's key did `action` (such as job.create) to `subject`, an id."""
    access = access_of(session)
    entry = AuditEntry(
        key_id=access.key_id, action=action, subject=subject, request_id=access.request_id, detail=detail
    )
    session.add(entry)


def record(database: Database, action: str, subject: str | None = None, **detail: object) -> None:
    """Record an action in a transaction of its own."""
    with database.write() as session:
        add(session, action, subject, **detail)


def latest(database: Database, limit: int) -> Sequence[AuditEntry]:
    """Return the newest `limit` entries, oldest first."""
    with database.read() as session:
        newest = session.scalars(select(AuditEntry).order_by(AuditEntry.seq.desc()).limit(limit)).all()
    return newest[::-1]
