"""The previews of a job: which are kept, and that they go with their job."""

import itertools
from dataclasses import dataclass

import pytest
from support import rows

from core.jobs import outcomes, previews, requests, retention
from core.jobs.leases import JobLease
from core.jobs.previews import MAX_PREVIEWS, NewPreview, select_moments
from core.jobs.retention import RetentionPolicy
from core.storage import orphaned_files, quotas
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.storage.errors import LeaseLost, NotFound


@dataclass(frozen=True)
class At:
    step: int
    stage: int
    iteration: int


@pytest.mark.parametrize("every", [1, 7, 100])
@pytest.mark.parametrize(("stages", "count"), [(1, 1), (1, 2), (1, 1000), (3, 10), (3, 300), (60, 1), (200, 3)])
def test_few_previews_remain_and_most_of_the_beginning_of_each_stage(stages: int, count: int, every: int) -> None:
    moments = [
        At((stage - 1) * every * count + iteration, stage, iteration)
        for stage in range(1, stages + 1)
        for iteration in range(1, every * count + 1, every)
    ]
    kept: list[At] = []
    for moment in moments:
        chosen = select_moments([*kept, moment])
        kept = [one for one in [*kept, moment] if one.step in chosen]
        assert len(kept) <= MAX_PREVIEWS
    assert {one.step for one in kept} == select_moments(moments), "the same as if all had been kept until now"
    assert (kept[0], kept[-1]) == (moments[0], moments[-1])
    if stages * count <= MAX_PREVIEWS / 2:
        assert kept == moments
    if stages > MAX_PREVIEWS or count <= MAX_PREVIEWS:
        return
    for stage in range(1, stages + 1):
        iterations = [one.iteration for one in kept if one.stage == stage]
        assert len(iterations) > MAX_PREVIEWS / stages / 3
        gaps = [after - before for before, after in itertools.pairwise(iterations)]
        assert iterations[0] == 1
        assert gaps[0] < gaps[len(gaps) // 2]


def test_previews_are_thinned_out_and_go_with_their_job(database: Database, blobs: Blobs) -> None:
    lease = rows.claimed(database)
    for step in range(0, 8 * (MAX_PREVIEWS + 2), 8):
        blobs.delete(*_add(database, blobs, lease, step))
    kept = previews.listing(database, lease.job_id)
    assert [row.step for row in kept][:8] == [*range(0, 64, 8)]
    assert [row.step for row in kept][-4:] == [344, 368, 384, 392]
    assert (kept[2].stage, kept[2].iteration, kept[2].width) == (1, 16, 8)
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
