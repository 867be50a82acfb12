"""Deliveries are claimed by one sender at a time, repeated after a wait, and deleted when they are old."""

import pytest
from sqlalchemy import func, select, update
from support import rows

from core.jobs import requests
from core.storage import audit, deliveries, webhooks
from core.storage.database import Database
from core.storage.deliveries import DueDelivery, Outcome
from core.storage.errors import Conflict, NotFound
from core.storage.tables import Delivery

URL = "https://example.org/hook"
ACCEPTED, REFUSED = Outcome(204, None), Outcome(500, "answered 500")


def _events(database: Database, webhook_id: str) -> list[tuple[str, str]]:
    return [(one.job_id, one.event) for one in webhooks.deliveries(database, webhook_id, limit=100)]


def _claim(database: Database, lease_seconds: float = rows.LONG) -> list[DueDelivery]:
    return deliveries.claim(database, [], 100, lease_seconds)


def _one_due(database: Database) -> str:
    webhook = webhooks.add(database, URL)
    requests.cancel(database, rows.accept(database))
    return webhook.id


def _row(database: Database, webhook_id: str) -> Delivery:
    (found,) = webhooks.deliveries(database, webhook_id, limit=2)
    return found


def test_a_claimed_delivery_is_not_claimed_again(database: Database) -> None:
    webhook_id = _one_due(database)
    (due,) = _claim(database)
    assert _claim(database) == []
    deliveries.record_outcome(database, due, ACCEPTED, [])
    assert _claim(database) == []
    found = _row(database, webhook_id)
    assert (found.status, found.attempts, found.response_status, found.next_at) == ("delivered", 1, 204, None)


def test_a_delivery_of_a_dead_sender_is_claimed_again_and_its_late_outcome_is_ignored(database: Database) -> None:
    webhook_id = _one_due(database)
    (lost,) = _claim(database, lease_seconds=-1)
    (reclaimed,) = _claim(database)
    assert (reclaimed.id, reclaimed.attempt) == (lost.id, 2)
    deliveries.record_outcome(database, lost, REFUSED, [])
    assert _row(database, webhook_id).status == "pending"
    deliveries.record_outcome(database, reclaimed, ACCEPTED, [])
    assert _row(database, webhook_id).status == "delivered"


def test_failed_attempts_are_repeated_after_each_wait_and_then_fail_for_good(database: Database) -> None:
    webhook_id = _one_due(database)
    for attempt, wait in enumerate((100.0, 300.0), start=1):
        (due,) = _claim(database)
        assert due.attempt == attempt
        deliveries.record_outcome(database, due, REFUSED, [100.0, 300.0])
        assert _claim(database) == []
        with database.write() as session:
            left = session.scalar(select(Delivery.next_at - func.coalesce(Delivery.created_at, 0)))
            assert left == pytest.approx(wait, abs=30)
            session.execute(update(Delivery).values(next_at=1.0))
    (due,) = _claim(database)
    deliveries.record_outcome(database, due, REFUSED, [100.0, 300.0])
    found = _row(database, webhook_id)
    assert (found.status, found.attempts, found.error, found.next_at) == ("failed", 3, "answered 500", None)
    assert webhooks.redeliver(database, webhook_id, found.id).status == "pending"
    with pytest.raises(Conflict):
        webhooks.redeliver(database, webhook_id, found.id)
    assert [due.attempt for due in _claim(database)] == [4]


def test_one_delivery_per_webhook_is_claimed_at_a_time_oldest_first(database: Database) -> None:
    one, other = webhooks.add(database, URL), webhooks.add(database, URL)
    for _ in range(3):
        requests.cancel(database, rows.accept(database))
    first = _claim(database)
    assert {due.webhook_seq for due in first} == {one.seq, other.seq}
    assert len(first) == 2
    assert deliveries.claim(database, [one.seq, other.seq], 100, rows.LONG) == []
    assert len(deliveries.claim(database, [one.seq], 100, rows.LONG)) == 1
    assert len(deliveries.claim(database, [], 1, rows.LONG)) == 1


def test_deleting_a_gone_webhook_deletes_its_deliveries(database: Database) -> None:
    webhook_id = _one_due(database)
    (due,) = _claim(database)
    deliveries.delete_webhook(database, due)
    with pytest.raises(NotFound):
        webhooks.find(database, webhook_id)
    assert rows.count(database)["deliveries"] == 0
    assert [entry.subject for entry in audit.latest(database, 10) if entry.action == "webhook.gone"] == [webhook_id]
    next_id = _one_due(database)  # SQLite reuses the seq of the deleted rows
    deliveries.record_outcome(database, due, ACCEPTED, [])
    deliveries.delete_webhook(database, due)
    assert _row(database, next_id).status == "pending"


def test_old_finished_deliveries_are_deleted_and_pending_ones_are_kept(database: Database) -> None:
    webhook_id = _one_due(database)
    requests.cancel(database, rows.accept(database))
    (due,) = _claim(database)
    deliveries.record_outcome(database, due, ACCEPTED, [])
    deliveries.delete_finished(database, 60)
    assert len(_events(database, webhook_id)) == 2
    deliveries.delete_finished(database, -60)
    assert _row(database, webhook_id).status == "pending"
