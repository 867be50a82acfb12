"""Who did what: rows that are only ever added, in the transaction of what they tell of."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.storage.access import access_of
from core.storage.database import Database
from core.storage.tables import AuditEntry


def add(session: Session, action: str, subject: str | None = None, **detail: object) -> None:
    """`action` such as job.create was done to `subject`, by whoever has this session."""
    access = access_of(session)
    entry = AuditEntry(
        key_id=access.key_id, action=action, subject=subject, request_id=access.request_id, detail=detail
    )
    session.add(entry)


def record(database: Database, action: str, subject: str | None = None, **detail: object) -> None:
    """The same for what changes no row of ours."""
    with database.write() as session:
        add(session, action, subject, **detail)


def latest(database: Database, limit: int) -> Sequence[AuditEntry]:
    """The newest `limit` entries, oldest first."""
    with database.read() as session:
        newest = session.scalars(select(AuditEntry).order_by(AuditEntry.seq.desc()).limit(limit)).all()
    return newest[::-1]
