"""Turns, limits and ends of a job; what is kept, and what is swept."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update
from support import rows

from api.retention_sweep import sweep
from api.settings import ApiSettings
from core.jobs import leases, requests, retention
from core.jobs.leases import JobLease, Reason
from core.jobs.requests import Idempotency
from core.runtime.settings import BadSettings
from core.schemas.jobs import JobStatus, Queue
from core.storage import orphans
from core.storage.access import Access
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.storage.errors import Conflict, LeaseLost, NotFound
from core.storage.tables import ApiKey, IdempotencyKey, Job, new_id

DAY = 86_400.0
RACERS = 4


def test_the_higher_priority_is_claimed_first_and_the_older_among_equals(database: Database) -> None:
    accepted = [rows.accept(database, replace(rows.train(), priority=priority)) for priority in (0, -3, 5, 0, 5)]
    expected = [accepted[index] for index in (2, 4, 0, 3, 1)]
    found = [rows.row(database, job_id) for job_id in accepted]
    assert requests.queue_positions(database, found) == {
        job_id: place for place, job_id in enumerate(expected, start=1)
    }
    assert [rows.claim(database).job_id for _ in accepted] == expected


def test_time_worked_adds_up_over_attempts_and_not_while_nobody_works(database: Database) -> None:
    held = rows.claimed(database)
    for seconds in (10.0, 5.0):
        _pass(database, held, seconds)
        assert leases.renew(database, held, rows.LONG) is None
    leases.release(database, held)
    _pass(database, held, 1000.0)
    again = rows.claim(database)
    _pass(database, again, 3.0)
    leases.renew(database, again, rows.LONG)
    assert rows.row(database, held.job_id).worked_seconds == pytest.approx(18.0, abs=1.0)


@pytest.mark.parametrize(("jump", "counted"), [(-1e6, 0.0), (1e6, rows.LONG)])
def test_a_clock_that_jumps_takes_no_time_and_gives_no_more_than_the_lease(
    database: Database, jump: float, counted: float
) -> None:
    held = rows.claimed(database)
    _pass(database, held, jump)
    leases.renew(database, held, rows.LONG)
    assert rows.row(database, held.job_id).worked_seconds == pytest.approx(counted, abs=1.0)


def test_a_job_that_used_its_time_is_told_so_and_goes_on_only_with_more(database: Database) -> None:
    held = rows.claimed(database, replace(rows.train(), time_limit_seconds=12.0))
    leases.checkpoint(database, held, rows.stored("c/1"))
    _pass(database, held, 13.0)
    assert leases.renew(database, held, rows.LONG) == Reason.TIME_UP
    leases.fail(database, held, {"type": "time-limit", "detail": "d"})
    with pytest.raises(Conflict, match="larger time_limit_seconds"):
        requests.resume(database, held.job_id)
    assert rows.row(database, held.job_id).status == JobStatus.FAILED
    requests.resume(database, held.job_id, time_limit_seconds=60.0)
    again = rows.claim(database)
    assert again.checkpoint == "c/1"
    assert leases.renew(database, again, rows.LONG) is None


def test_each_shard_has_the_limit_of_its_job(database: Database) -> None:
    rows.accept(database, replace(rows.split(), time_limit_seconds=10.0))
    first, second = rows.claim(database, Queue.SAMPLE), rows.claim(database, Queue.SAMPLE)
    _pass(database, first, 11.0)
    assert leases.renew(database, second, rows.LONG) is None
    assert leases.renew(database, first, rows.LONG) == Reason.TIME_UP


def test_a_job_that_waits_for_another_try_is_canceled_at_once(database: Database) -> None:
    held = rows.claimed(database)
    leases.abandon(database, held, {"type": "unavailable", "detail": "d"}, wait_seconds=rows.LONG)
    assert requests.cancel(database, held.job_id).status == JobStatus.CANCELED
    lost = rows.claimed(database)
    rows.expire(database, lost.job_id)
    assert requests.cancel(database, lost.job_id).status == JobStatus.CANCELED
    with pytest.raises(LeaseLost):
        leases.succeed(database, lost, [], rows.DONE)


def test_giving_up_for_no_fault_of_the_jobs_is_no_strike(database: Database) -> None:
    job_id = rows.accept(database)
    for _ in range(leases.MAX_FAILURES + 2):
        leases.abandon(database, rows.claim(database), {"type": "unavailable", "detail": "d"}, counts=False)
    assert rows.row(database, job_id).failures == 0
    assert leases.settle_lost(database) == []


def test_of_concurrent_resumes_one_wins(database: Database) -> None:
    held = rows.claimed(database)
    leases.fail(database, held, {"type": "t", "detail": "d"})
    won = _race(lambda: requests.resume(database, held.job_id))
    assert won == 1
    assert rows.row(database, held.job_id).status == JobStatus.QUEUED


def test_a_cancel_that_meets_a_success_leaves_one_of_both(database: Database) -> None:
    for _ in range(5):
        held = rows.claimed(database)
        actions: list[Callable[[], object]] = [
            lambda held=held: requests.cancel(database, held.job_id),  # type: ignore[misc]
            lambda held=held: leases.succeed(database, held, [rows.artifact()], rows.DONE),  # type: ignore[misc]
            lambda held=held: leases.canceled(database, held),  # type: ignore[misc]
        ]
        with ThreadPoolExecutor(len(actions)) as pool:
            list(pool.map(_attempted, actions))
        job = rows.row(database, held.job_id)
        assert job.status in (JobStatus.SUCCEEDED, JobStatus.CANCELED)
        assert len(job.artifacts) == (job.status == JobStatus.SUCCEEDED)


def test_a_key_is_its_owners_alone(database: Database) -> None:
    key = Idempotency("k", b"1" * 32)
    owners = [_owner(database, number) for number in (1, 2)]
    first, second = (
        requests.accept(database.scoped_to(Access(owner=seq, sees_all=False)), rows.train(), key).id for seq in owners
    )
    assert first != second


def test_nothing_is_swept_unless_it_is_said(database: Database, blobs: Blobs) -> None:
    held = _ended(database, blobs, days=1000)
    assert sweep(database, blobs, ApiSettings()).jobs == []
    assert rows.row(database, held.job_id).artifacts


def test_old_jobs_go_with_their_files_and_models_stay(database: Database, blobs: Blobs) -> None:
    old, young = _ended(database, blobs, days=11), _ended(database, blobs, days=9)
    waiting = rows.accept(database)
    rows.alter(database, waiting, created_at=1.0)
    settings = ApiSettings(keep_jobs_days=10)
    told = sweep(database, blobs, settings, dry_run=True)
    assert [job.job_id for job in told.jobs] == [old.job_id]
    assert rows.row(database, old.job_id), "only told"
    assert sweep(database, blobs, settings) == told
    assert told.bytes == 300
    with pytest.raises(NotFound):
        requests.find(database, old.job_id)
    assert not blobs.has(old.path("a.png"))
    assert not blobs.has(old.path("checkpoint"))
    assert blobs.has(old.path("model"))
    assert blobs.has(young.path("a.png"))
    assert rows.row(database, waiting)
    assert sweep(database, blobs, settings).jobs == []


def test_jobs_that_ended_first_make_room_until_there_is_enough(database: Database, blobs: Blobs) -> None:
    ended = [_ended(database, blobs, days=days) for days in (1, 3, 2)]  # of 350 bytes each, 50 of them the model's
    settings = ApiSettings(keep_bytes=500)
    swept = sweep(database, blobs, settings)
    assert [job.job_id for job in swept.jobs] == [ended[1].job_id, ended[2].job_id]
    assert rows.row(database, ended[0].job_id)
    assert sweep(database, blobs, settings).jobs == []


def test_what_stays_always_is_not_counted(database: Database, blobs: Blobs) -> None:
    """Else no job could ever make room for it, and all would go."""
    blobs.put(rows.add_dataset(database).images[0].blob, bytes(5000))
    ended = _ended(database, blobs)
    assert sweep(database, blobs, ApiSettings(keep_bytes=300)).jobs == []
    assert [job.job_id for job in sweep(database, blobs, ApiSettings(keep_bytes=299)).jobs] == [ended.job_id]


def test_sweeps_at_once_delete_no_more_than_one_would(database: Database, blobs: Blobs) -> None:
    settings = ApiSettings(keep_bytes=900)
    for _ in range(3):
        ended = [_ended(database, blobs, days=days) for days in range(5, 0, -1)]  # of 300 bytes each
        with ThreadPoolExecutor(RACERS) as pool:
            swept = list(pool.map(lambda _: sweep(database, blobs, settings), range(RACERS)))
        gone = [job.job_id for one in swept for job in one.jobs]
        assert sorted(gone) == sorted(held.job_id for held in ended[:2]), "each told once"
        for held in ended[2:]:
            requests.delete(database, held.job_id)


@pytest.mark.parametrize("ends_again", [False, True])
def test_a_job_resumed_since_it_was_listed_stays(database: Database, blobs: Blobs, ends_again: bool) -> None:
    held = rows.claimed(database)
    leases.fail(database, held, {"type": "t", "detail": "d"})
    rows.alter(database, held.job_id, finished_at=time.time() - 11 * DAY)
    (listed,) = retention.outdated(database, blobs, retention.Kept(jobs_days=10))
    requests.resume(database, held.job_id)
    if ends_again:
        leases.fail(database, rows.claim(database), {"type": "t", "detail": "d"})
    assert not retention.delete_job(database, blobs, listed)
    assert rows.row(database, held.job_id)


def test_files_younger_than_an_hour_are_never_of_nobody() -> None:
    """They may be those of an upload that goes on."""
    with pytest.raises(BadSettings, match="GENCONVNET_ORPHAN_DAYS"):
        ApiSettings(orphan_days=0.01)


def test_files_of_nobody_go_when_they_are_old(database: Database, blobs: Blobs, tmp_path: Path) -> None:
    ended = _ended(database, blobs)
    running, dead = rows.claimed(database), _dead_attempt(database)
    dataset = rows.add_dataset(database)
    named = [dataset.images[0].blob, *(ended.path(name) for name in ("a.png", "checkpoint", "model"))]
    orphaned = ["datasets/dataset_x/0.png", dead.path("a.png"), dead.path("b.png#1")]
    spared = [running.path("a.png"), "notes/of-others.txt"]
    for path in (named[0], *orphaned, *spared):
        _write(tmp_path / "blobs" / path)
    with database.write() as session:
        session.execute(update(Job).values(created_at=Job.created_at - 3 * DAY))
    assert sweep(database, blobs, ApiSettings()).files == [], "whoever wrote them may be about to name them"
    _age(tmp_path / "blobs", 2 * DAY)
    _write(tmp_path / "blobs" / "datasets/dataset_y/0.png")
    settings = ApiSettings()
    assert {file.path for file in sweep(database, blobs, settings, dry_run=True).files} == set(orphaned)
    assert {file.path for file in sweep(database, blobs, settings).files} == set(orphaned)
    left = {path.relative_to(tmp_path / "blobs").as_posix() for path in (tmp_path / "blobs").rglob("*.*")}
    assert left == {*named[:2], *spared, "datasets/dataset_y/0.png"}
    assert all(blobs.has(path) for path in named)
    _age(tmp_path / "blobs", 2 * DAY)
    sweep(database, blobs, settings)
    assert not (tmp_path / "blobs/datasets/dataset_x").exists(), "nor does an empty folder stay"


def test_files_from_before_the_first_row_are_not_this_databases_to_remove(
    database: Database, blobs: Blobs, tmp_path: Path
) -> None:
    _write(tmp_path / "blobs" / "datasets/dataset_x/0.png")
    _age(tmp_path / "blobs", 2 * DAY)
    assert sweep(database, blobs, ApiSettings()).files == [], "no row at all: the database is empty, or another's"
    _dead_attempt(database)
    assert sweep(database, blobs, ApiSettings()).files == []
    assert blobs.has("datasets/dataset_x/0.png")


def test_a_row_whose_file_is_missing_is_told(database: Database, blobs: Blobs) -> None:
    ended = _ended(database, blobs)
    assert list(orphans.missing(database, blobs)) == []
    blobs.delete(ended.path("a.png"))
    assert list(orphans.missing(database, blobs)) == [orphans.Missing(ended.job_id, ended.path("a.png"))]


def test_old_keys_are_forgotten(database: Database, blobs: Blobs) -> None:
    keys = [Idempotency(name, b"1" * 32) for name in ("old", "young")]
    accepted = [rows.accept(database, idempotency=key) for key in keys]
    with database.write() as session:
        session.execute(
            update(IdempotencyKey).where(IdempotencyKey.key == "old").values(created_at=time.time() - 31 * DAY)
        )
    assert sweep(database, blobs, ApiSettings()).keys == 1
    assert requests.asked_before(database, keys[0]) is None
    assert rows.accept(database, idempotency=keys[1]) == accepted[1]


def _pass(database: Database, held: JobLease, seconds: float) -> None:
    """Let so many seconds go by since the last renewal."""
    with database.write() as session:
        shift = {name: getattr(Job, name) - seconds for name in ("leased_at", "lease_until")}
        session.execute(update(Job).where(Job.seq == held.seq).values(shift))


def _race(action: Callable[[], object]) -> int:
    """How many of those who act at once are not refused."""
    with ThreadPoolExecutor(RACERS) as pool:
        return sum(pool.map(_attempted, [action] * RACERS))


def _attempted(action: Callable[[], object]) -> bool:
    try:
        action()
    except (Conflict, LeaseLost):
        return False
    return True


def _owner(database: Database, number: int) -> int:
    with database.write() as session:
        key = ApiKey(id=new_id("key"), name="n", prefix="p", sha256=bytes([number]) * 32)
        session.add(key)
        session.flush()
        return key.seq


def _ended(database: Database, blobs: Blobs, days: float = 0.0) -> JobLease:
    """A job that succeeded so long ago, with a picture of 100 bytes, a checkpoint of 200 and a model of 50."""
    held = rows.claimed(database)
    leases.checkpoint(database, held, blobs.put(held.path("checkpoint"), bytes(200)))
    picture = replace(rows.artifact("a.png"), stored=blobs.put(held.path("a.png"), bytes(100)))
    model = replace(rows.new_model(), stored=blobs.put(held.path("model"), bytes(50)))
    leases.succeed(database, held, [picture], rows.DONE, model=model)
    rows.alter(database, held.job_id, finished_at=time.time() - days * DAY)
    return held


def _dead_attempt(database: Database) -> JobLease:
    """An attempt whose worker died; the job was claimed again, and has ended."""
    dead = rows.claim(database) if leases.waiting(database, Queue.TRAIN) else rows.claimed(database)
    leases.abandon(database, dead)
    leases.fail(database, rows.claim(database), {"type": "t", "detail": "d"})
    return dead


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def _age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in folder.rglob("*"):
        os.utime(path, (then, then))
