"""Deliveries are written once, when a job of the webhook's owner finishes, and claimed by one sender at a time."""

import pytest
from sqlalchemy import func, select, update
from support import rows

from core.jobs import leases, outcomes, requests
from core.schemas.jobs import Queue
from core.storage import audit, deliveries, webhooks
from core.storage.access import Access
from core.storage.database import Database
from core.storage.deliveries import DueDelivery, Outcome
from core.storage.errors import Conflict, LeaseLost, NotFound
from core.storage.tables import ApiKey, Delivery, new_id

URL = "https://example.org/hook"
ACCEPTED, REFUSED = Outcome(204, None), Outcome(500, "answered 500")


def _owner(database: Database) -> Database:
    """Create a key and return the database restricted to it."""
    with database.write() as session:
        id_ = new_id("key")
        key = ApiKey(id=id_, name="n", prefix="p", sha256=id_.encode().ljust(32)[:32])
        session.add(key)
        session.flush()
        return database.scoped_to(Access(owner=key.seq, sees_all=False))


def _events(database: Database, webhook_id: str) -> list[tuple[str, str]]:
    return [(one.job_id, one.event) for one in webhooks.deliveries(database, webhook_id, limit=100)]


def _claim(database: Database, lease_seconds: float = rows.LONG) -> list[DueDelivery]:
    return deliveries.claim(database, [], 100, lease_seconds)


def test_every_final_status_is_delivered_once(database: Database) -> None:
    webhook = webhooks.add(database, URL)
    done, failed, canceled, lost = (rows.claimed(database) for _ in range(4))
    outcomes.succeed(database, done, [], rows.DONE)
    outcomes.fail(database, failed, {"type": "diverged", "detail": "d"})
    requests.cancel(database, canceled.job_id)
    outcomes.cancel(database, canceled)
    rows.alter(database, lost.job_id, failures=leases.MAX_FAILURES)
    rows.expire(database, lost.job_id)
    outcomes.end_lost(database)
    outcomes.end_lost(database)
    assert _events(database, webhook.id) == [
        (lost.job_id, "job.failed"),
        (canceled.job_id, "job.canceled"),
        (failed.job_id, "job.failed"),
        (done.job_id, "job.succeeded"),
    ]


def test_a_split_job_is_delivered_once_and_its_shards_are_not(database: Database) -> None:
    webhook = webhooks.add(database, URL)
    succeeded = rows.accept(database, rows.split())
    for _ in range(3):
        outcomes.succeed(database, rows.claim(database, Queue.SAMPLE), [], rows.DONE)
    failed = rows.accept(database, rows.split())
    outcomes.fail(database, rows.claim(database, Queue.SAMPLE), {"type": "diverged", "detail": "d"})
    canceled = rows.accept(database, rows.split())
    rows.claim(database, Queue.SAMPLE)
    requests.cancel(database, canceled)
    assert _events(database, webhook.id) == [
        (canceled, "job.canceled"),
        (failed, "job.failed"),
        (succeeded, "job.succeeded"),
    ]


def test_webhooks_of_other_owners_get_no_delivery_and_are_not_visible(database: Database) -> None:
    one, other = _owner(database), _owner(database)
    mine, theirs, nobodys = webhooks.add(one, URL), webhooks.add(other, URL), webhooks.add(database, URL)
    job_id = rows.accept(one)
    outcomes.succeed(database, rows.claim(database), [], rows.DONE)
    unowned = rows.accept(database)
    requests.cancel(database, unowned)
    assert _events(one, mine.id) == [(job_id, "job.succeeded")]
    assert _events(other, theirs.id) == []
    assert _events(database, nobodys.id) == [(unowned, "job.canceled")]
    assert [found.id for found in webhooks.listing(one, limit=9)] == [mine.id]
    for forbidden in (theirs.id, nobodys.id):
        with pytest.raises(NotFound):
            webhooks.find(one, forbidden)
        with pytest.raises(NotFound):
            webhooks.deliveries(one, forbidden, limit=1)
        with pytest.raises(NotFound):
            webhooks.delete(one, forbidden)
    (delivery,) = webhooks.deliveries(one, mine.id, limit=1)
    with pytest.raises(NotFound):
        webhooks.redeliver(other, mine.id, delivery.id)
    with pytest.raises(NotFound):
        webhooks.redeliver(other, theirs.id, delivery.id)


def test_a_worker_that_lost_its_lease_causes_no_delivery(database: Database) -> None:
    webhook = webhooks.add(database, URL)
    lost = rows.claimed(database)
    rows.expire(database, lost.job_id)
    lease = rows.claim(database)
    with pytest.raises(LeaseLost):
        outcomes.succeed(database, lost, [], rows.DONE)
    assert _events(database, webhook.id) == []
    outcomes.succeed(database, lease, [], rows.DONE)
    assert _events(database, webhook.id) == [(lease.job_id, "job.succeeded")]


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
