"""The queue of webhook deliveries, as the sender uses it.

A sender claims a delivery for a limited time. If the sender dies, another claims the delivery again, so a message is
sent at least once. Each claim raises `attempts`, and only the sender of the newest attempt can record an outcome.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update

from core.storage import audit
from core.storage.clock import now
from core.storage.database import Database
from core.storage.tables import Delivery, Webhook


@dataclass(frozen=True)
class DueDelivery:
    """A claimed delivery. `attempt` counts from 1."""

    seq: int
    id: str
    webhook_id: str
    webhook_seq: int
    url: str
    secret: str
    payload: dict[str, Any]
    attempt: int


@dataclass(frozen=True)
class Outcome:
    """The result of an attempt: the HTTP status, None without a response; the error, None if it was delivered."""

    response_status: int | None
    error: str | None


def claim(database: Database, busy: Collection[int], limit: int, lease_seconds: float) -> list[DueDelivery]:
    """Claim the oldest due delivery of each webhook, at most `limit`, except for webhooks in `busy` (`seq`s)."""
    due = (Delivery.status == "pending", Delivery.next_at <= now())
    with database.read() as session:
        oldest = select(func.min(Delivery.seq)).where(*due, Delivery.webhook_seq.not_in(busy))
        chosen = session.scalars(oldest.group_by(Delivery.webhook_seq).limit(limit)).all()
    if not chosen:
        return []
    with database.write() as session:
        mine = select(Delivery.seq).where(Delivery.seq.in_(chosen), *due).with_for_update(skip_locked=True)
        seqs = session.scalars(mine).all()
        taken = {"attempts": Delivery.attempts + 1, "next_at": now() + lease_seconds}
        session.execute(update(Delivery).where(Delivery.seq.in_(seqs)).values(taken))
        query = select(Delivery, Webhook).join(Webhook, Webhook.seq == Delivery.webhook_seq)
        return [
            DueDelivery(
                one.seq, one.id, webhook.id, webhook.seq, webhook.url, webhook.secret, one.payload, one.attempts
            )
            for one, webhook in session.execute(query.where(Delivery.seq.in_(seqs)).order_by(Delivery.seq))
        ]


def record_outcome(database: Database, due: DueDelivery, outcome: Outcome, waits: Sequence[float]) -> None:
    """Record an outcome. Failed attempt n is repeated after `waits[n - 1]` seconds; after the last wait it is final."""
    values: dict[str, Any] = {"response_status": outcome.response_status, "error": outcome.error}
    if outcome.error is None:
        values |= {"status": "delivered", "delivered_at": now(), "next_at": None}
    elif due.attempt > len(waits):
        values |= {"status": "failed", "next_at": None}
    else:
        values |= {"next_at": now() + waits[due.attempt - 1]}
    # By id and not by seq, because SQLite reuses the seq of a deleted row.
    mine = (Delivery.id == due.id, Delivery.attempts == due.attempt, Delivery.status == "pending")
    with database.write() as session:
        session.execute(update(Delivery).where(*mine).values(values))


def delete_webhook(database: Database, due: DueDelivery) -> None:
    """Delete the webhook of a delivery, with all its deliveries, because its receiver answered 410 Gone."""
    with database.write() as session:
        if session.scalar(delete(Webhook).where(Webhook.id == due.webhook_id).returning(Webhook.seq)) is not None:
            audit.add(session, "webhook.gone", due.webhook_id)


def count_pending(database: Database) -> int:
    """Return the number of messages, of all owners, that wait to be sent or to be sent again."""
    with database.read() as session:
        return session.scalar(select(func.count()).where(Delivery.status == "pending")) or 0


def delete_finished(database: Database, seconds: float) -> None:
    """Delete delivered and failed deliveries that are older than `seconds`."""
    with database.write() as session:
        session.execute(delete(Delivery).where(Delivery.status != "pending", Delivery.created_at < now() - seconds))
