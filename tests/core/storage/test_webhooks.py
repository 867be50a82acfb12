"""Deliveries are written once, when a job of the webhook's owner finishes."""

import pytest
from support import rows

from core.jobs import leases, outcomes, requests
from core.schemas.jobs import Queue
from core.storage import webhooks
from core.storage.access import Access
from core.storage.database import Database
from core.storage.errors import LeaseLost, NotFound
from core.storage.tables import ApiKey, new_id

URL = "https://example.org/hook"


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
