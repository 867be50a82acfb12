"""Webhooks of an owner. Their deliveries are written in the transaction in which a job finishes."""

import base64
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.schemas.times import rfc3339, utc_datetime
from core.storage import audit
from core.storage.access import UNSCOPED, owner_of
from core.storage.clock import now
from core.storage.database import Database
from core.storage.errors import Conflict, NotFound
from core.storage.tables import Delivery, Job, Webhook, new_id

MAX_WEBHOOKS = 20  # of one owner, because every finished job adds a delivery for each
SECRET_BYTES = 32


def add(database: Database, url: str) -> Webhook:
    """Add a webhook. Raises Conflict if the owner already has MAX_WEBHOOKS."""
    with database.write() as session:
        owner = owner_of(session)
        mine = select(func.count()).select_from(Webhook).where(Webhook.owner_seq == owner)
        if (session.scalar(mine) or 0) >= MAX_WEBHOOKS:
            raise Conflict(f"there are {MAX_WEBHOOKS} webhooks already: delete one first")
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        webhook = Webhook(id=new_id("webhook"), owner_seq=owner, url=url, secret=secret)
        session.add(webhook)
        audit.add(session, "webhook.create", webhook.id)
        session.flush()
        session.refresh(webhook)
        return webhook


def find(database: Database, webhook_id: str) -> Webhook:
    """Return a webhook. Raises NotFound."""
    with database.read() as session:
        return _get(session, webhook_id)


def listing(database: Database, *, limit: int, after: str | None = None) -> Sequence[Webhook]:
    """Return at most `limit` webhooks, newest first, older than the one with id `after`. Raises NotFound."""
    query = select(Webhook).order_by(Webhook.seq.desc()).limit(limit)
    with database.read() as session:
        if after is not None:
            query = query.where(Webhook.seq < _get(session, after).seq)
        return session.scalars(query).all()


def delete(database: Database, webhook_id: str) -> None:
    """Delete a webhook and its deliveries, including pending ones. Raises NotFound."""
    with database.write() as session:
        session.delete(_get(session, webhook_id))
        audit.add(session, "webhook.delete", webhook_id)


def deliveries(database: Database, webhook_id: str, *, limit: int, after: str | None = None) -> Sequence[Delivery]:
    """Return at most `limit` deliveries, newest first, older than the one with id `after`. Raises NotFound."""
    with database.read() as session:
        webhook = _get(session, webhook_id)
        query = select(Delivery).where(Delivery.webhook_seq == webhook.seq).order_by(Delivery.seq.desc()).limit(limit)
        if after is not None:
            query = query.where(Delivery.seq < _delivery(session, webhook, after).seq)
        return session.scalars(query).all()


def redeliver(database: Database, webhook_id: str, delivery_id: str) -> Delivery:
    """Queue a delivered or failed delivery again. Raises NotFound, or Conflict if it is still pending."""
    with database.write() as session:
        delivery = _delivery(session, _get(session, webhook_id), delivery_id)
        if delivery.status == "pending":
            raise Conflict(f"delivery {delivery_id} is still pending")
        again = update(Delivery).where(Delivery.seq == delivery.seq, Delivery.status != "pending")
        session.execute(again.values(status="pending", next_at=now()))
        session.refresh(delivery)
        return delivery


def enqueue_deliveries(session: Session, job: Job) -> None:
    """Add a delivery for each webhook of the owner of a job that has just finished."""
    query = select(Webhook.seq).where(Webhook.owner_seq == job.owner_seq)  # IS NULL if the job has no owner
    query = query.with_for_update(read=True, key_share=True)  # a webhook deleted meanwhile would fail this transaction
    for webhook_seq in session.scalars(query.execution_options(**UNSCOPED)):
        session.add(
            Delivery(
                id=new_id("msg"),
                webhook_seq=webhook_seq,
                job_id=job.id,
                event=f"job.{job.status}",
                payload=_payload(job),
                next_at=now(),
            )
        )


def _payload(job: Job) -> dict[str, Any]:
    """Return the message, in the form of the Standard Webhooks specification."""
    assert job.finished_at is not None
    return {
        "type": f"job.{job.status}",
        "timestamp": rfc3339(utc_datetime(job.finished_at)),
        "data": {
            "id": job.id,
            "kind": job.kind,
            "status": job.status,
            "created_at": rfc3339(utc_datetime(job.created_at)),
            "started_at": rfc3339(utc_datetime(job.started_at)) if job.started_at is not None else None,
            "finished_at": rfc3339(utc_datetime(job.finished_at)),
            "attempt": job.attempt,
            "error": job.error,
            "dataset_id": job.dataset_id,
            "model_id": job.model_id,
            "url": f"/v1/jobs/{job.id}",
        },
    }


def _get(session: Session, webhook_id: str) -> Webhook:
    webhook = session.scalar(select(Webhook).where(Webhook.id == webhook_id))
    if webhook is None:
        raise NotFound("webhook", webhook_id)
    return webhook


def _delivery(session: Session, webhook: Webhook, delivery_id: str) -> Delivery:
    delivery = session.scalar(select(Delivery).where(Delivery.id == delivery_id, Delivery.webhook_seq == webhook.seq))
    if delivery is None:
        raise NotFound("delivery", delivery_id)
    return delivery
