"""Whose rows: every query for what belongs to someone is narrowed to what may be seen, in one place."""

from dataclasses import dataclass

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from core.storage.tables import Owned


@dataclass(frozen=True)
class Access:
    """Whose rows a session sees, and to whom the rows belong that it adds: the key of that number, or nobody.

    `key_id` and `request_id` are for the audit log; the limits are those of the key, None where there is none.
    """

    owner: int | None = None
    sees_all: bool = True
    key_id: str | None = None
    request_id: str | None = None
    max_stored_bytes: int | None = None
    max_unfinished_jobs: int | None = None


UNSCOPED = {"unscoped": True}  # options of a query that nothing is hidden from


class AccessSession(Session):
    """A session that knows who asks: `info` holds an Access."""


def access_of(session: Session) -> Access:
    access: Access = session.info["access"]
    return access


def owner_of(session: Session) -> int | None:
    """To whom the rows belong that are added."""
    return access_of(session).owner


@event.listens_for(AccessSession, "do_orm_execute")
def _scope_to_owner(query: ORMExecuteState) -> None:
    """Every query for rows that have an owner is narrowed, unless it says UNSCOPED."""
    access = access_of(query.session)
    if access.sees_all or query.execution_options.get("unscoped"):
        return
    owner = access.owner
    query.statement = query.statement.options(
        with_loader_criteria(Owned, lambda table: table.owner_seq == owner, include_aliases=True)
    )
