"""Row-level access: every query on a table with an owner returns only the rows that the session may see."""

from dataclasses import dataclass

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from core.storage.tables import Owned


@dataclass(frozen=True)
class Access:
    """Which rows a session sees, and who owns the rows that it adds.

    owner: `ApiKey.seq` of the key, None without keys. sees_all: the session sees the rows of every owner.
    key_id, request_id: written to the audit log. max_*: limits of the key, None if there is no limit.
    """

    owner: int | None = None
    sees_all: bool = True
    key_id: str | None = None
    request_id: str | None = None
    max_stored_bytes: int | None = None
    max_unfinished_jobs: int | None = None


UNSCOPED = {"unscoped": True}  # execution options of a query that returns the rows of every owner


class AccessSession(Session):
    """A session whose `info["access"]` holds an Access."""


def access_of(session: Session) -> Access:
    """Return what the session may see."""
    access: Access = session.info["access"]
    return access


def owner_of(session: Session) -> int | None:
    """Return the owner of the rows that the session adds."""
    return access_of(session).owner


@event.listens_for(AccessSession, "do_orm_execute")
def _scope_to_owner(query: ORMExecuteState) -> None:
    """Restrict a query on tables with an owner to the session's rows, unless it has the UNSCOPED option."""
    access = access_of(query.session)
    if access.sees_all or query.execution_options.get("unscoped"):
        return
    owner = access.owner
    query.statement = query.statement.options(
        with_loader_criteria(Owned, lambda table: table.owner_seq == owner, include_aliases=True)
    )
