"""Which jobs and idempotency keys a sweep deletes."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update
from support import rows

from api.operations.retention_sweep import sweep
from api.settings import ApiSettings
from core.jobs import outcomes, requests, retention
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.storage.errors import NotFound
from core.storage.idempotency import Idempotency, find_earlier
from core.storage.tables import Dataset, IdempotencyKey, Job

DAY = 86_400.0
RACERS = 4


def test_no_job_is_deleted_by_default(database: Database, blobs: Blobs) -> None:
    lease = rows.ended(database, blobs, days=1000)
    assert sweep(database, blobs, ApiSettings()).jobs == []
    assert rows.row(database, lease.job_id).artifacts


def test_old_jobs_are_deleted_with_their_files_but_not_their_models(database: Database, blobs: Blobs) -> None:
    old, young = rows.ended(database, blobs, days=11), rows.ended(database, blobs, days=9)
    waiting = rows.accept(database)
    rows.alter(database, waiting, created_at=1.0)
    settings = ApiSettings(keep_jobs_days=10)
    would_delete = sweep(database, blobs, settings, dry_run=True)
    assert [job.job_id for job in would_delete.jobs] == [old.job_id]
    assert rows.row(database, old.job_id), "a dry run"
    assert sweep(database, blobs, settings) == would_delete
    assert would_delete.bytes == 300
    with pytest.raises(NotFound):
        requests.find(database, old.job_id)
    assert not blobs.exists(old.path("a.png"))
    assert not blobs.exists(old.path("checkpoint"))
    assert blobs.exists(old.path("model"))
    assert blobs.exists(young.path("a.png"))
    assert rows.row(database, waiting)
    assert sweep(database, blobs, settings).jobs == []


def test_the_jobs_that_ended_first_are_deleted_until_the_rest_fit(database: Database, blobs: Blobs) -> None:
    ended = [rows.ended(database, blobs, days=days) for days in (1, 3, 2)]  # of 350 bytes each, 50 of them the model's
    settings = ApiSettings(keep_bytes=500)
    swept = sweep(database, blobs, settings)
    assert [job.job_id for job in swept.jobs] == [ended[1].job_id, ended[2].job_id]
    assert rows.row(database, ended[0].job_id)
    assert sweep(database, blobs, settings).jobs == []


def test_files_that_are_always_kept_do_not_count(database: Database, blobs: Blobs) -> None:
    """Deleting jobs would not free them, so counting them would delete every job."""
    blobs.put(rows.add_dataset(database).images[0].blob, bytes(5000))
    ended = rows.ended(database, blobs)
    assert sweep(database, blobs, ApiSettings(keep_bytes=300)).jobs == []
    assert [job.job_id for job in sweep(database, blobs, ApiSettings(keep_bytes=299)).jobs] == [ended.job_id]


def test_concurrent_sweeps_delete_no_more_than_one_would(database: Database, blobs: Blobs) -> None:
    settings = ApiSettings(keep_bytes=900)
    for _ in range(3):
        ended = [rows.ended(database, blobs, days=days) for days in range(5, 0, -1)]  # of 300 bytes each
        with ThreadPoolExecutor(RACERS) as pool:
            swept = list(pool.map(lambda _: sweep(database, blobs, settings), range(RACERS)))
        gone = [job.job_id for one in swept for job in one.jobs]
        assert sorted(gone) == sorted(lease.job_id for lease in ended[:2]), "each deleted once"
        for lease in ended[2:]:
            requests.delete(database, lease.job_id)


@pytest.mark.parametrize("ends_again", [False, True])
def test_a_job_resumed_since_it_was_listed_is_not_deleted(database: Database, blobs: Blobs, ends_again: bool) -> None:
    lease = rows.claimed(database)
    outcomes.fail(database, lease, {"type": "t", "detail": "d"})
    rows.alter(database, lease.job_id, finished_at=time.time() - 11 * DAY)
    (listed,) = retention.find_outdated(database, blobs, retention.RetentionPolicy(jobs_days=10))
    requests.resume(database, lease.job_id)
    if ends_again:
        outcomes.fail(database, rows.claim(database), {"type": "t", "detail": "d"})
    assert not retention.delete_job(database, blobs, listed)
    assert rows.row(database, lease.job_id)


def test_old_idempotency_keys_are_deleted(database: Database, blobs: Blobs) -> None:
    keys = [Idempotency(name, b"1" * 32) for name in ("old", "young")]
    accepted = [rows.accept(database, idempotency=key) for key in keys]
    rows.add_dataset(database, idempotency=(upload := Idempotency("old upload", b"1" * 32)))
    with database.write() as session:
        session.execute(
            update(IdempotencyKey).where(IdempotencyKey.key != "young").values(created_at=time.time() - 31 * DAY)
        )
    assert sweep(database, blobs, ApiSettings()).keys == 2
    assert find_earlier(database, Job, keys[0]) is None
    assert find_earlier(database, Dataset, upload) is None
    assert rows.accept(database, idempotency=keys[1]) == accepted[1]
