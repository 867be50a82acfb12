"""The previews of a job: which are kept, and that they go with their job."""

import itertools

import pytest
from support import rows

from core.jobs import outcomes, previews, requests, retention
from core.jobs.leases import JobLease
from core.jobs.previews import MAX_PREVIEWS, NewPreview, select_evenly
from core.jobs.retention import RetentionPolicy
from core.storage import orphaned_files, quotas
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.storage.errors import LeaseLost, NotFound


@pytest.mark.parametrize("every", [1, 7, 100])
@pytest.mark.parametrize("count", [1, 2, MAX_PREVIEWS, MAX_PREVIEWS + 1, 1000])
def test_few_previews_remain_evenly_over_the_learning(every: int, count: int) -> None:
    steps = [5 + every * number for number in range(count)]
    kept: list[int] = []
    for step in steps:
        kept = sorted(select_evenly([*kept, step]))
        assert len(kept) <= MAX_PREVIEWS
    assert set(kept) == select_evenly(steps), "the same as if all had been kept until now"
    assert (kept[0], kept[-1]) == (steps[0], steps[-1])
    if count > MAX_PREVIEWS:
        assert len(kept) > MAX_PREVIEWS / 3
        gaps = [after - before for before, after in itertools.pairwise(kept[:-1])]
        assert max(gaps) <= 2 * min(gaps)


def test_previews_are_thinned_out_and_go_with_their_job(database: Database, blobs: Blobs) -> None:
    lease = rows.claimed(database)
    for step in range(0, 8 * (MAX_PREVIEWS + 2), 8):
        blobs.delete(*_add(database, blobs, lease, step))
    kept = previews.listing(database, lease.job_id)
    assert [row.step for row in kept] == [*range(0, 400, 16), 392]
    assert (kept[1].stage, kept[1].iteration, kept[1].width) == (1, 16, 8)
    files = {row.blob for row in kept}
    assert set(blobs.paths()) == files
    assert quotas.stored_bytes(database)["results"] == sum(row.bytes for row in kept)
    assert list(orphaned_files.find_missing(database, blobs)) == []
    assert _add(database, blobs, lease, 16) == [], "the same file again"
    outcomes.succeed(database, lease, [], rows.DONE)
    assert previews.find(database, lease.job_id, 16).iteration == 16
    (outdated,) = retention.find_outdated(database, blobs, RetentionPolicy(max_bytes=1))
    assert outdated.bytes == sum(row.bytes for row in kept)
    assert set(requests.delete(database, lease.job_id)) == files
    with pytest.raises(NotFound):
        previews.find(database, lease.job_id, 16)


def test_a_lost_lease_keeps_no_preview(sqlite_database: Database, blobs: Blobs) -> None:
    lease = rows.claimed(sqlite_database)
    requests.cancel(sqlite_database, lease.job_id)
    outcomes.cancel(sqlite_database, lease)
    with pytest.raises(LeaseLost):
        _add(sqlite_database, blobs, lease, 1)


def _add(database: Database, blobs: Blobs, lease: JobLease, step: int) -> list[str]:
    stored = blobs.put(lease.path(f"preview-kept-{step}.png"), b"abc")
    return previews.add(database, lease, NewPreview(step, 1, step, 8, 8, stored))
