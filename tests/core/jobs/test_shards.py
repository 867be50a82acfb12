"""A split job: its owner sees one job, its workers as many as it has shards."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from support import rows

from core.jobs import leases, requests
from core.jobs.leases import JobLease
from core.jobs.requests import Idempotency
from core.schemas.jobs import JobKind, JobStatus, Progress, Queue
from core.storage import models
from core.storage.database import Database
from core.storage.errors import Conflict, LeaseLost, NotFound

SHARDS = 3
ERROR = {"type": "diverged", "detail": "step size too large"}
HALF = Progress(stage=1, stages=2, iteration=1, iterations=1, fraction=0.5, eta_seconds=10.0)
WHOLE = Progress(stage=2, stages=2, iteration=1, iterations=1, fraction=1.0, eta_seconds=0.0)
KEY = Idempotency("key", b"1" * 32)


def claim(database: Database, worker: str = "w") -> JobLease:
    """The next shard, begun."""
    held = rows.claim(database, Queue.SAMPLE, worker=worker)
    leases.begin(database, held)
    return held


def picture(number: int) -> leases.NewArtifact:
    return rows.artifact(f"synthesized-{number:03d}.png")


def draw(database: Database, held: JobLease) -> leases.Success:
    for number in range(held.first, held.first + held.params["count"]):
        leases.publish(database, held, picture(number))
    return leases.succeed(database, held, [], WHOLE)


def statuses(database: Database, job_id: str) -> list[str]:
    return [shard.status for shard in rows.shards(database, job_id)]


def test_what_a_shard_notes_is_noted_of_its_owners_job(database: Database) -> None:
    job_id = rows.accept(database, rows.split(rows.add_model(database)))
    first, second = claim(database), claim(database)
    leases.note(database, first, {"precision": "float32"})
    assert rows.row(database, job_id).metrics == {"precision": "float32"}
    leases.note(database, second, {"precision": "bfloat16"})
    assert rows.row(database, job_id).metrics == {"precision": "bfloat16"}
    assert all(not shard.metrics for shard in rows.shards(database, job_id))


def test_a_split_job_is_one_to_its_owner(database: Database) -> None:
    model_id = rows.add_model(database)
    before, after = rows.accept(database, rows.sample(model_id)), rows.accept(database, rows.split(model_id))
    last = rows.accept(database, rows.sample(model_id))
    listed = requests.listing(database, kind=JobKind.SAMPLE, limit=100)
    assert [job.id for job in listed] == [last, after, before]
    assert requests.queue_positions(database, listed) == {before: 1, after: 2, last: 3}
    shards = rows.shards(database, after)
    assert requests.queue_positions(database, shards) == {}
    assert [(shard.first, shard.params["count"], shard.model_id) for shard in shards] == [
        (first, 2, model_id) for first in (0, 2, 4)
    ]
    for ask in (requests.find, requests.cancel, requests.resume, requests.delete, requests.metrics):
        with pytest.raises(NotFound):
            ask(database, shards[0].id)
    with pytest.raises(NotFound):
        requests.listing(database, limit=1, after=shards[0].id)
    leases.begin(database, rows.claim(database, Queue.SAMPLE))
    leases.begin(database, rows.claim(database, Queue.SAMPLE))
    for status, expected in ((JobStatus.RUNNING, [after, before]), (JobStatus.QUEUED, [last])):
        assert [job.id for job in requests.listing(database, status=status, limit=100)] == expected
    with pytest.raises(Conflict, match="needed by job job_"):
        models.delete(database, model_id)


def test_the_same_key_splits_once(database: Database) -> None:
    first = requests.accept(database, rows.split(), KEY)
    assert requests.accept(database, rows.split(), KEY).id == first.id
    assert rows.count(database)["jobs"] == 1 + SHARDS


def test_shards_are_claimed_in_their_order_and_the_parent_never(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    assert leases.waiting(database, Queue.SAMPLE) == SHARDS
    assert len(leases.unheard(database, Queue.SAMPLE, rows.LONG, 100)) == SHARDS
    held = [rows.claim(database, Queue.SAMPLE) for _ in range(SHARDS)]
    assert leases.claim(database, Queue.SAMPLE, "w", rows.LONG) is None
    assert [(one.first, one.params["count"], one.shown_id) for one in held] == [(n, 2, job_id) for n in (0, 2, 4)]
    assert len({one.path("a") for one in held}) == SHARDS


def test_the_parent_runs_from_its_first_shard_to_its_last(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    first, second = (rows.claim(database, Queue.SAMPLE) for _ in range(2))
    assert [leases.begin(database, one) for one in (first, second)] == [1, None]
    job = rows.row(database, job_id)
    assert (job.status, job.attempt, job.worker, job.lease_until) == (JobStatus.RUNNING, 1, None, None)
    assert job.started_at == rows.shards(database, job_id)[0].started_at
    assert [draw(database, one).ended for one in (second, first)] == [False, False]
    assert rows.row(database, job_id).status == JobStatus.RUNNING
    assert draw(database, claim(database)) == leases.Success([], True)
    job = rows.row(database, job_id)
    assert (job.status, job.error, Progress.model_validate(job.progress).fraction) == (JobStatus.SUCCEEDED, None, 1.0)
    assert job.finished_at is not None
    assert [one.name for one in job.artifacts] == [picture(number).name for number in range(2 * SHARDS)]
    assert rows.count(database)["artifacts"] == 2 * SHARDS


def test_the_parents_progress_is_its_shards_mean(database: Database) -> None:
    job_id = rows.accept(database, rows.split(shards=4))
    first, second = claim(database), claim(database)
    assert leases.record(database, first, HALF) == Progress(
        stage=1, stages=8, iteration=1, iterations=1, fraction=0.125, eta_seconds=70.0
    )
    told = leases.record(database, second, HALF)
    assert (told.fraction, told.eta_seconds) == (0.25, 30.0)  # two are at work: in half the time
    draw(database, first)
    assert Progress.model_validate(rows.row(database, job_id).progress).fraction == 0.375


def test_a_shard_whose_worker_was_lost_is_done_again_and_no_picture_twice(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    lost = claim(database)
    leases.publish(database, lost, picture(0))
    draw(database, claim(database))
    rows.expire(database, lost.job_id)
    again = rows.claim(database, Queue.SAMPLE, worker="other")
    assert (again.job_id, again.first, again.attempt) == (lost.job_id, 0, 2)
    assert leases.begin(database, again) == 2
    before = rows.everything(database, job_id)
    late: list[Callable[[], object]] = [
        lambda: leases.begin(database, lost),
        lambda: leases.record(database, lost, HALF),
        lambda: leases.publish(database, lost, picture(1)),
        lambda: leases.succeed(database, lost, [], WHOLE),
        lambda: leases.fail(database, lost, ERROR),
        lambda: leases.release(database, lost),
    ]
    for write in late:
        with pytest.raises(LeaseLost):
            write()
    assert rows.everything(database, job_id) == before
    draw(database, again)
    draw(database, claim(database))
    job = rows.row(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 2)
    assert [one.name for one in job.artifacts] == [picture(number).name for number in range(2 * SHARDS)]
    assert [shard.attempt for shard in rows.shards(database, job_id)] == [2, 1, 1]


def test_a_shard_that_fails_ends_the_job_with_its_reason(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    done, failing = claim(database), claim(database)
    draw(database, done)
    at_work = claim(database)
    leases.fail(database, failing, ERROR)
    job = rows.row(database, job_id)
    assert (job.status, job.error, len(job.artifacts)) == (JobStatus.FAILED, ERROR, 2)
    assert statuses(database, job_id) == ["succeeded", "failed", "canceled"]
    with pytest.raises(LeaseLost):
        leases.renew(database, at_work, rows.LONG)
    assert leases.claim(database, Queue.SAMPLE, "w", rows.LONG) is None


def test_a_shard_that_kills_its_worker_three_times_ends_the_job(database: Database) -> None:
    job_id = rows.accept(database, rows.split(shards=2))
    for _ in range(leases.MAX_FAILURES):
        leases.abandon(database, claim(database))
    draw(database, claim(database))
    assert len(leases.settle_lost(database)) == 1
    job = rows.row(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.FAILED, 3)
    assert job.error is not None
    assert job.error["type"] == "worker-lost"
    assert statuses(database, job_id) == ["failed", "succeeded"]


def test_a_canceled_job_ends_at_once_with_all_its_shards(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    done, at_work = claim(database), claim(database)
    draw(database, done)
    assert requests.cancel(database, job_id).status == JobStatus.CANCELED
    assert statuses(database, job_id) == ["succeeded", "canceled", "canceled"]
    assert all(shard.finished_at and not shard.lease_until for shard in rows.shards(database, job_id))
    for write in (leases.begin, leases.release):
        with pytest.raises(LeaseLost):
            write(database, at_work)
    with pytest.raises(LeaseLost):
        leases.renew(database, at_work, rows.LONG)
    with pytest.raises(Conflict):
        requests.cancel(database, job_id)


@pytest.mark.parametrize("how", ["failed", "canceled"])
def test_a_resumed_job_goes_on_with_what_is_missing(database: Database, how: str) -> None:
    job_id = rows.accept(database, rows.split())
    draw(database, claim(database))
    at_work = claim(database)
    if how == "failed":
        leases.fail(database, at_work, ERROR)
    else:
        requests.cancel(database, job_id)
    job = requests.resume(database, job_id)
    assert (job.status, job.error, job.cancel_requested) == (JobStatus.QUEUED, None, False)
    assert statuses(database, job_id) == ["succeeded", "queued", "queued"]
    again = claim(database)
    with pytest.raises(LeaseLost):
        leases.publish(database, at_work, picture(2))
    assert [draw(database, one).ended for one in (again, claim(database))] == [False, True]
    assert rows.row(database, job_id).attempt == 2
    requests.resume(database, job_id)
    assert leases.waiting(database, Queue.SAMPLE) == SHARDS


def test_a_job_whose_shards_are_all_handed_back_waits_again(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    draw(database, claim(database))
    first, second = claim(database), claim(database)
    assert leases.release(database, first) is None
    assert rows.row(database, job_id).status == JobStatus.RUNNING
    assert leases.release(database, second) == JobStatus.QUEUED
    assert requests.queue_positions(database, [rows.row(database, job_id)]) == {job_id: 1}
    assert leases.begin(database, rows.claim(database, Queue.SAMPLE)) == 2


def test_deleting_a_job_deletes_its_shards_and_names_every_file(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    held = claim(database)
    leases.checkpoint(database, held, rows.stored("c/1"))
    leases.publish(database, held, rows.artifact(path="a/1"))
    with pytest.raises(Conflict):
        requests.delete(database, job_id)
    requests.cancel(database, job_id)
    assert sorted(requests.delete(database, job_id)) == ["a/1", "c/1"]
    assert rows.count(database)["jobs"] == rows.count(database)["artifacts"] == 0
    with pytest.raises(LeaseLost):
        leases.publish(database, held, picture(0))


@pytest.mark.parametrize("seed", range(2))
def test_workers_and_an_owner_who_meet_never_block_each_other(database: Database, seed: int) -> None:
    """Whatever each does, in whatever order: no deadlock, and of each finished job the shards say what it says."""
    made = [rows.accept(database, rows.split(shards=4)) for _ in range(4)]
    left = threading.Event()

    def work(number: int) -> None:
        chance = random.Random(100 * seed + number)
        while not left.is_set():
            leases.settle_lost(database)
            if (held := leases.claim(database, Queue.SAMPLE, f"w{number}", rows.LONG)) is None:
                continue
            with suppress(LeaseLost):
                leases.begin(database, held)
                leases.record(database, held, HALF)
                leases.publish(database, held, picture(held.first))
                ways: list[Callable[[], Any]] = [
                    *[lambda held=held: draw(database, held)] * 5,
                    lambda held=held: leases.fail(database, held, ERROR),
                    lambda held=held: leases.release(database, held),
                    lambda held=held: leases.abandon(database, held),
                ]
                chance.choice(ways)()

    def own() -> None:
        chance = random.Random(seed)
        for _ in range(40):
            with suppress(Conflict):
                chance.choice([requests.cancel, requests.resume])(database, chance.choice(made))

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(work, number) for number in range(3)]
        try:
            pool.submit(own).result()
            while any(not JobStatus(rows.row(database, job_id).status).final for job_id in made):
                assert not any(one.done() for one in working), [one.exception() for one in working if one.done()]
        finally:
            left.set()
        for one in working:
            one.result()
    for job_id in made:
        job, parts = rows.row(database, job_id), statuses(database, job_id)
        assert set(parts) <= {"succeeded", "failed", "canceled"}
        assert (job.status == "succeeded") == (set(parts) == {"succeeded"})
        assert (job.status == "failed") == ("failed" in parts) == (job.error is not None)
        assert len({one.name for one in job.artifacts}) == len(job.artifacts)
