"""A split job: its owner sees one job, workers see its shards."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from support import rows

from core.jobs import leases, outcomes, requests, results, running
from core.jobs.leases import JobLease
from core.jobs.reconciler import count_claimable, take_unnotified
from core.schemas.jobs import JobKind, JobStatus, Progress, Queue
from core.storage import models
from core.storage.database import Database
from core.storage.errors import Conflict, LeaseLost, NotFound
from core.storage.idempotency import Idempotency

SHARDS = 3
ERROR = {"type": "diverged", "detail": "step size too large"}
HALF = Progress(stage=1, stages=2, iteration=1, iterations=1, fraction=0.5, eta_seconds=10.0)
WHOLE = Progress(stage=2, stages=2, iteration=1, iterations=1, fraction=1.0, eta_seconds=0.0)
KEY = Idempotency("key", b"1" * 32)


def claim(database: Database, worker: str = "w") -> JobLease:
    """Claim the next shard and begin its work."""
    lease = rows.claim(database, Queue.SAMPLE, worker=worker)
    running.begin(database, lease)
    return lease


def picture(number: int) -> results.NewArtifact:
    return rows.artifact(f"synthesized-{number:03d}.png")


def draw(database: Database, lease: JobLease) -> outcomes.Succeeded:
    for number in range(lease.first, lease.first + lease.params["count"]):
        running.publish(database, lease, picture(number))
    return outcomes.succeed(database, lease, [], WHOLE)


def statuses(database: Database, job_id: str) -> list[str]:
    return [shard.status for shard in rows.shards(database, job_id)]


def test_the_metrics_a_shard_sets_are_its_parents(database: Database) -> None:
    job_id = rows.accept(database, rows.split(rows.add_model(database)))
    first, second = claim(database), claim(database)
    running.set_metrics(database, first, {"precision": "float32"})
    assert rows.row(database, job_id).metrics == {"precision": "float32"}
    running.set_metrics(database, second, {"precision": "bfloat16"})
    assert rows.row(database, job_id).metrics == {"precision": "bfloat16"}
    assert all(not shard.metrics for shard in rows.shards(database, job_id))


def test_the_owner_of_a_split_job_sees_one_job(database: Database) -> None:
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
    running.begin(database, rows.claim(database, Queue.SAMPLE))
    running.begin(database, rows.claim(database, Queue.SAMPLE))
    for status, expected in ((JobStatus.RUNNING, [after, before]), (JobStatus.QUEUED, [last])):
        assert [job.id for job in requests.listing(database, status=status, limit=100)] == expected
    with pytest.raises(Conflict, match="needed by job job_"):
        models.delete(database, model_id)


def test_the_same_idempotency_key_splits_a_job_once(database: Database) -> None:
    first = requests.accept(database, rows.split(), KEY)
    assert requests.accept(database, rows.split(), KEY).id == first.id
    assert rows.count(database)["jobs"] == 1 + SHARDS


def test_shards_are_claimed_in_order_and_the_parent_never(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    assert count_claimable(database, Queue.SAMPLE) == SHARDS
    assert len(take_unnotified(database, Queue.SAMPLE, rows.LONG, 100)) == SHARDS
    lease = [rows.claim(database, Queue.SAMPLE) for _ in range(SHARDS)]
    assert leases.claim(database, Queue.SAMPLE, "w", rows.LONG) is None
    assert [(one.first, one.params["count"], one.public_id) for one in lease] == [(n, 2, job_id) for n in (0, 2, 4)]
    assert len({one.path("a") for one in lease}) == SHARDS


def test_the_parent_runs_from_its_first_shard_to_its_last(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    first, second = (rows.claim(database, Queue.SAMPLE) for _ in range(2))
    assert [running.begin(database, one) for one in (first, second)] == [1, None]
    job = rows.row(database, job_id)
    assert (job.status, job.attempt, job.worker, job.lease_until) == (JobStatus.RUNNING, 1, None, None)
    assert job.started_at == rows.shards(database, job_id)[0].started_at
    assert [draw(database, one).job_ended for one in (second, first)] == [False, False]
    assert rows.row(database, job_id).status == JobStatus.RUNNING
    assert draw(database, claim(database)) == outcomes.Succeeded([], True)
    job = rows.row(database, job_id)
    assert (job.status, job.error, Progress.model_validate(job.progress).fraction) == (JobStatus.SUCCEEDED, None, 1.0)
    assert job.finished_at is not None
    assert [one.name for one in job.artifacts] == [picture(number).name for number in range(2 * SHARDS)]
    assert rows.count(database)["artifacts"] == 2 * SHARDS


def test_the_progress_of_the_parent_is_the_mean_of_its_shards(database: Database) -> None:
    job_id = rows.accept(database, rows.split(shards=4))
    first, second = claim(database), claim(database)
    assert running.record(database, first, HALF) == Progress(
        stage=1, stages=8, iteration=1, iterations=1, fraction=0.125, eta_seconds=70.0
    )
    recorded = running.record(database, second, HALF)
    assert (recorded.fraction, recorded.eta_seconds) == (0.25, 30.0)  # two are at work: in half the time
    draw(database, first)
    assert Progress.model_validate(rows.row(database, job_id).progress).fraction == 0.375


def test_a_shard_whose_worker_was_lost_is_run_again_without_doubling_pictures(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    lost = claim(database)
    running.publish(database, lost, picture(0))
    draw(database, claim(database))
    rows.expire(database, lost.job_id)
    again = rows.claim(database, Queue.SAMPLE, worker="other")
    assert (again.job_id, again.first, again.attempt) == (lost.job_id, 0, 2)
    assert running.begin(database, again) == 2
    before = rows.everything(database, job_id)
    late: list[Callable[[], object]] = [
        lambda: running.begin(database, lost),
        lambda: running.record(database, lost, HALF),
        lambda: running.publish(database, lost, picture(1)),
        lambda: outcomes.succeed(database, lost, [], WHOLE),
        lambda: outcomes.fail(database, lost, ERROR),
        lambda: outcomes.release(database, lost),
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


def test_a_shard_that_fails_ends_the_job_with_its_error(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    done, failing = claim(database), claim(database)
    draw(database, done)
    at_work = claim(database)
    outcomes.fail(database, failing, ERROR)
    job = rows.row(database, job_id)
    assert (job.status, job.error, len(job.artifacts)) == (JobStatus.FAILED, ERROR, 2)
    assert statuses(database, job_id) == ["succeeded", "failed", "canceled"]
    with pytest.raises(LeaseLost):
        leases.renew(database, at_work, rows.LONG)
    assert leases.claim(database, Queue.SAMPLE, "w", rows.LONG) is None


def test_a_shard_that_kills_its_worker_three_times_ends_the_job(database: Database) -> None:
    job_id = rows.accept(database, rows.split(shards=2))
    for _ in range(leases.MAX_FAILURES):
        outcomes.abandon(database, claim(database))
    draw(database, claim(database))
    assert len(outcomes.end_lost(database)) == 1
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
    for write in (running.begin, outcomes.release):
        with pytest.raises(LeaseLost):
            write(database, at_work)
    with pytest.raises(LeaseLost):
        leases.renew(database, at_work, rows.LONG)
    with pytest.raises(Conflict):
        requests.cancel(database, job_id)


@pytest.mark.parametrize("how", ["failed", "canceled"])
def test_a_resumed_job_runs_only_the_shards_that_have_not_succeeded(database: Database, how: str) -> None:
    job_id = rows.accept(database, rows.split())
    draw(database, claim(database))
    at_work = claim(database)
    if how == "failed":
        outcomes.fail(database, at_work, ERROR)
    else:
        requests.cancel(database, job_id)
    job = requests.resume(database, job_id)
    assert (job.status, job.error, job.cancel_requested) == (JobStatus.QUEUED, None, False)
    assert statuses(database, job_id) == ["succeeded", "queued", "queued"]
    assert job.progress["fraction"] == pytest.approx(1 / SHARDS)
    again = claim(database)
    with pytest.raises(LeaseLost):
        running.publish(database, at_work, picture(2))
    assert [draw(database, one).job_ended for one in (again, claim(database))] == [False, True]
    assert rows.row(database, job_id).attempt == 2
    requests.resume(database, job_id)
    assert count_claimable(database, Queue.SAMPLE) == SHARDS


def test_a_job_whose_shards_are_all_released_is_queued_again(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    draw(database, claim(database))
    first, second = claim(database), claim(database)
    assert outcomes.release(database, first) is None
    assert rows.row(database, job_id).status == JobStatus.RUNNING
    assert outcomes.release(database, second) == JobStatus.QUEUED
    assert requests.queue_positions(database, [rows.row(database, job_id)]) == {job_id: 1}
    assert running.begin(database, rows.claim(database, Queue.SAMPLE)) == 2


def test_deleting_a_job_deletes_its_shards_and_returns_every_file(database: Database) -> None:
    job_id = rows.accept(database, rows.split())
    lease = claim(database)
    running.checkpoint(database, lease, rows.stored("c/1"))
    running.publish(database, lease, rows.artifact(path="a/1"))
    with pytest.raises(Conflict):
        requests.delete(database, job_id)
    requests.cancel(database, job_id)
    assert sorted(requests.delete(database, job_id)) == ["a/1", "c/1"]
    assert rows.count(database)["jobs"] == rows.count(database)["artifacts"] == 0
    with pytest.raises(LeaseLost):
        running.publish(database, lease, picture(0))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_concurrent_workers_and_an_owner_never_deadlock(database: Database, seed: int) -> None:
    """No order of their actions deadlocks, and a finished job agrees with its shards."""
    made = [rows.accept(database, rows.split(shards=4)) for _ in range(4)]
    left = threading.Event()

    def work(number: int) -> None:
        chance = random.Random(100 * seed + number)
        while not left.is_set():
            outcomes.end_lost(database)
            if (lease := leases.claim(database, Queue.SAMPLE, f"w{number}", rows.LONG)) is None:
                left.wait(0.01)
                continue
            with suppress(LeaseLost):
                running.begin(database, lease)
                running.record(database, lease, HALF)
                running.publish(database, lease, picture(lease.first))
                ways: list[Callable[[], Any]] = [
                    *[lambda lease=lease: draw(database, lease)] * 5,
                    lambda lease=lease: outcomes.fail(database, lease, ERROR),
                    lambda lease=lease: outcomes.release(database, lease),
                    lambda lease=lease: outcomes.abandon(database, lease),
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
                left.wait(0.01)
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
