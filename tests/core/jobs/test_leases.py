"""A job has one worker at most, and only that one writes."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update
from support import rows
from support.waiting import until

from core.jobs import leases, requests
from core.jobs.leases import JobLease, Reason, Success
from core.schemas.jobs import JobStatus, Progress, Queue
from core.storage import models
from core.storage.database import Database
from core.storage.errors import Conflict, LeaseLost, NotFound
from core.storage.tables import Job

RACERS = 4

# Every way in which a worker writes.
WRITES: dict[str, Callable[[Database, JobLease], object]] = {
    "begin": leases.begin,
    "renew": lambda database, held: leases.renew(database, held, rows.LONG),
    "record": lambda database, held: leases.record(database, held, rows.DONE, [(1, {"energy": 1.0})]),
    "note": lambda database, held: leases.note(database, held, {"precision": "float32"}),
    "publish": lambda database, held: leases.publish(database, held, rows.artifact()),
    "checkpoint": lambda database, held: leases.checkpoint(database, held, rows.stored()),
    "succeed": lambda database, held: leases.succeed(
        database, held, [rows.artifact()], rows.DONE, metrics={"energy": 2.0}, model=rows.new_model()
    ),
    "fail": lambda database, held: leases.fail(database, held, {"type": "late", "detail": "too late"}),
    "canceled": leases.canceled,
    "release": leases.release,
    "abandon": leases.abandon,
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())


def test_every_writing_function_of_a_worker_is_among_those_tested() -> None:
    read_only = {"claim", "settle_lost", "waiting", "unheard", "is_held", "in_hands"}
    public = {name for name, found in vars(leases).items() if getattr(found, "__module__", "") == leases.__name__}
    functions = {name for name in public if name[0].islower() and not name.startswith("_")}
    assert functions == {*WRITES, *read_only}


def test_jobs_are_claimed_in_the_order_in_which_they_were_accepted(database: Database) -> None:
    accepted = [rows.accept(database) for _ in range(5)]
    assert [rows.claim(database).job_id for _ in accepted] == accepted
    assert leases.claim(database, Queue.TRAIN, "w", rows.LONG) is None


def test_a_claim_carries_what_the_work_needs(database: Database) -> None:
    dataset = rows.add_dataset(database)
    job_id = rows.accept(database, rows.train(dataset.id))
    held = rows.claim(database, worker="w1")
    assert (held.job_id, held.kind, held.params, held.dataset_id) == (job_id, "train", dict(rows.PARAMS), dataset.id)
    assert (held.token, held.attempt, held.checkpoint) == (1, 1, None)
    job = rows.row(database, job_id)
    assert (job.status, job.worker, job.failures) == (JobStatus.RUNNING, "w1", 1)
    assert job.started_at is not None
    assert job.lease_until == pytest.approx(job.started_at + rows.LONG, abs=5)


def test_queues_do_not_mix(database: Database) -> None:
    model_id = rows.add_model(database)
    train, sample = rows.accept(database), rows.accept(database, rows.sample(model_id))
    assert rows.claim(database, Queue.SAMPLE).job_id == sample
    assert leases.claim(database, Queue.SAMPLE, "w", rows.LONG) is None
    assert rows.claim(database, Queue.TRAIN).job_id == train


def test_a_fresh_lease_is_nobody_elses(database: Database) -> None:
    rows.claimed(database)
    assert leases.claim(database, Queue.TRAIN, "other", rows.LONG) is None


def test_a_lease_that_ran_out_is_claimable_and_raises_the_token(database: Database) -> None:
    first = rows.claimed(database)
    rows.expire(database, first.job_id)
    second = rows.claim(database, worker="other")
    assert (second.job_id, second.token, second.attempt) == (first.job_id, first.token + 1, 2)
    assert rows.row(database, first.job_id).worker == "other"
    assert second.path("a") != first.path("a")


def test_a_lease_runs_out_by_the_databases_own_clock(database: Database) -> None:
    rows.accept(database)
    rows.claim(database, seconds=2)
    assert leases.claim(database, Queue.TRAIN, "other", rows.LONG) is None
    until(lambda: leases.claim(database, Queue.TRAIN, "other", rows.LONG))


def test_a_renewed_lease_holds(database: Database) -> None:
    held = rows.claimed(database)
    rows.expire(database, held.job_id)
    assert leases.renew(database, held, rows.LONG) is None  # late, but nobody came meanwhile
    assert leases.claim(database, Queue.TRAIN, "other", rows.LONG) is None


def test_a_job_that_started_again_keeps_its_first_start(database: Database) -> None:
    held = rows.claimed(database)
    started = rows.row(database, held.job_id).started_at
    rows.expire(database, held.job_id)
    rows.claim(database)
    assert rows.row(database, held.job_id).started_at == started


def test_of_many_racing_workers_each_job_goes_to_exactly_one(database: Database) -> None:
    accepted = [rows.accept(database) for _ in range(50)]
    together = threading.Barrier(RACERS)

    def work(worker: str) -> list[str]:
        together.wait()
        taken = []
        while (held := leases.claim(database, Queue.TRAIN, worker, rows.LONG)) is not None:
            taken.append(held.job_id)
            leases.succeed(database, held, [], rows.DONE)
        return taken

    with ThreadPoolExecutor(RACERS) as pool:
        taken = list(pool.map(work, [f"w{number}" for number in range(RACERS)]))
    assert sorted(job_id for one in taken for job_id in one) == sorted(accepted)
    done = [rows.row(database, job_id) for job_id in accepted]
    assert {(job.status, job.token, job.attempt) for job in done} == {(JobStatus.SUCCEEDED, 1, 1)}


def test_of_racing_workers_one_gets_the_job_whose_worker_was_lost(database: Database) -> None:
    held = rows.claimed(database)
    together = threading.Barrier(RACERS)

    def work(worker: str) -> JobLease | None:
        together.wait()
        return leases.claim(database, Queue.TRAIN, worker, rows.LONG)

    with ThreadPoolExecutor(RACERS) as pool:
        for _ in range(leases.MAX_FAILURES - 1):
            rows.expire(database, held.job_id)
            got = [one for one in pool.map(work, [f"w{number}" for number in range(RACERS)]) if one is not None]
            assert len(got) == 1


@every_write
def test_an_old_token_writes_nothing(database: Database, write: Callable[[Database, JobLease], object]) -> None:
    old = rows.claimed(database)
    rows.expire(database, old.job_id)
    new = rows.claim(database, worker="other")
    leases.publish(database, new, rows.artifact())
    before, counts = rows.everything(database, old.job_id), rows.count(database)
    with pytest.raises(LeaseLost):
        write(database, old)
    assert rows.everything(database, old.job_id) == before
    assert rows.count(database) == counts


@every_write
@pytest.mark.parametrize("end", ["succeeded", "failed", "canceled", "handed back", "deleted"])
def test_a_worker_writes_nothing_after_the_end(
    sqlite_database: Database, write: Callable[[Database, JobLease], object], end: str
) -> None:
    held = rows.claimed(sqlite_database)
    if end == "succeeded":
        leases.succeed(sqlite_database, held, [], rows.DONE)
    elif end == "handed back":
        leases.release(sqlite_database, held)
    else:
        leases.fail(sqlite_database, held, {"type": "t", "detail": "d"})
    if end == "canceled":
        rows.alter(sqlite_database, held.job_id, status=JobStatus.CANCELED)
    if end == "deleted":
        requests.delete(sqlite_database, held.job_id)
        assert rows.accept(sqlite_database) != held.job_id  # SQLite may give its number to this one
    counts = rows.count(sqlite_database)
    with pytest.raises(LeaseLost):
        write(sqlite_database, held)
    assert rows.count(sqlite_database) == counts


def test_succeed_writes_everything_at_once(database: Database) -> None:
    held = rows.claimed(database)
    model = rows.new_model()
    results = [rows.artifact(f"synthesized-{index:03d}.png") for index in range(3)]
    assert leases.succeed(database, held, results, rows.DONE, metrics={"energy": 0.5}, model=model) == Success([], True)
    job = rows.row(database, held.job_id)
    assert (job.status, job.worker, job.lease_until, job.error) == (JobStatus.SUCCEEDED, None, None, None)
    assert job.finished_at is not None
    assert job.started_at is not None
    assert job.finished_at >= job.started_at
    assert Progress.model_validate(job.progress) == rows.DONE
    assert job.metrics == {"energy": 0.5}
    assert [one.name for one in job.artifacts] == [one.name for one in results]
    assert job.model_id == model.id
    learned = models.find(database, model.id)
    assert (learned.job_id, learned.params, learned.blob) == (held.job_id, dict(rows.PARAMS), model.stored.blob)


def test_succeed_writes_nothing_where_one_part_fails(database: Database) -> None:
    held = rows.claimed(database)
    taken = rows.new_model()
    leases.succeed(database, held, [], rows.DONE, model=taken)
    other = rows.claimed(database)
    before, counts = rows.everything(database, other.job_id), rows.count(database)
    with pytest.raises(Exception, match="models"):  # the model's id is taken
        leases.succeed(database, other, [rows.artifact()], rows.DONE, metrics={"energy": 0.5}, model=taken)
    assert rows.everything(database, other.job_id) == before
    assert rows.count(database) == counts


def test_fail_says_why(database: Database) -> None:
    held = rows.claimed(database)
    error = {"type": "diverged", "detail": "step size too large"}
    leases.fail(database, held, error)
    job = rows.row(database, held.job_id)
    assert (job.status, job.error, job.lease_until) == (JobStatus.FAILED, error, None)
    assert job.finished_at is not None


def test_record_keeps_the_series_without_doubles(database: Database) -> None:
    held = rows.claimed(database)
    progress = Progress(iteration=2, iterations=5, fraction=0.4)
    leases.note(database, held, {"remarks": ["of an earlier attempt"]})
    leases.note(database, held, {"precision": "float32"})
    leases.record(database, held, progress, [(1, {"energy": 3.0}), (2, {"energy": 2.0})])
    leases.record(database, held, progress, [(2, {"energy": 2.5}), (3, {"energy": 1.0})])  # gone on from a checkpoint
    leases.record(database, held, progress)
    assert requests.metrics(database, held.job_id) == [
        {"step": 1, "energy": 3.0},
        {"step": 2, "energy": 2.5},
        {"step": 3, "energy": 1.0},
    ]
    job = rows.row(database, held.job_id)
    assert job.metrics == {"precision": "float32", "energy": 1.0}
    assert Progress.model_validate(job.progress) == progress


def test_publish_replaces_and_gives_the_path_of_what_it_replaced(database: Database) -> None:
    held = rows.claimed(database)
    assert leases.publish(database, held, rows.artifact("preview.png", "p/1")) == []
    assert leases.publish(database, held, rows.artifact("preview.png", "p/2")) == ["p/1"]
    assert leases.publish(database, held, rows.artifact("preview.png", "p/2")) == []  # the same file is not to go
    assert leases.succeed(database, held, [rows.artifact("preview.png", "p/3")], rows.DONE).replaced == ["p/2"]
    assert [one.blob for one in rows.row(database, held.job_id).artifacts] == ["p/3"]


def test_checkpoint_replaces_and_the_next_claim_goes_on_from_it(database: Database) -> None:
    held = rows.claimed(database)
    assert leases.checkpoint(database, held, rows.stored("c/1")) == []
    assert leases.checkpoint(database, held, rows.stored("c/2")) == ["c/1"]
    assert leases.checkpoint(database, held, rows.stored("c/2")) == []
    rows.expire(database, held.job_id)
    assert rows.claim(database).checkpoint == "c/2"


def test_a_job_that_kills_its_worker_three_times_fails(database: Database) -> None:
    job_id = rows.accept(database)
    for failure in range(1, leases.MAX_FAILURES + 1):
        assert leases.settle_lost(database) == []
        leases.abandon(database, rows.claim(database))
        assert rows.row(database, job_id).failures == failure
    assert leases.claim(database, Queue.TRAIN, "w", rows.LONG) is None
    assert leases.settle_lost(database) == [job_id]
    job = rows.row(database, job_id)
    assert job.status == JobStatus.FAILED
    assert job.error is not None
    assert job.error["type"] == "worker-lost"
    assert "3 tries" in job.error["detail"]
    assert leases.settle_lost(database) == []


def test_settle_lost_leaves_those_whose_worker_is_there(database: Database) -> None:
    held = rows.claimed(database)
    rows.alter(database, held.job_id, failures=leases.MAX_FAILURES, cancel_requested=True)
    assert leases.settle_lost(database) == []
    assert rows.row(database, held.job_id).status == JobStatus.RUNNING


def test_a_checkpoint_clears_the_strikes(database: Database) -> None:
    job_id = rows.accept(database)
    for _ in range(2 * leases.MAX_FAILURES):
        held = rows.claim(database)
        leases.checkpoint(database, held, rows.stored())
        leases.abandon(database, held)
        assert leases.settle_lost(database) == []
    job = rows.row(database, job_id)
    assert (job.failures, job.attempt) == (0, 2 * leases.MAX_FAILURES)


def test_give_up_frees_the_job_at_once(database: Database) -> None:
    held = rows.claimed(database)
    leases.abandon(database, held)
    assert leases.waiting(database, Queue.TRAIN) == 1
    assert leases.unheard(database, Queue.TRAIN, rows.LONG, 10) == [held.job_id]
    again = rows.claim(database)
    assert (again.job_id, again.token) == (held.job_id, held.token + 1)


def test_give_up_with_a_pause_keeps_the_job_back_and_says_why(database: Database) -> None:
    job_id = rows.accept(database)
    error = {"type": "unavailable", "detail": "the store was away"}
    leases.abandon(database, rows.claim(database), error, wait_seconds=rows.LONG)
    assert leases.waiting(database, Queue.TRAIN) == 0
    assert rows.row(database, job_id).error == error
    rows.expire(database, job_id)
    rows.claim(database)
    assert rows.row(database, job_id).error is None
    while rows.row(database, job_id).failures < leases.MAX_FAILURES:
        rows.expire(database, job_id)
        held = rows.claim(database)
    leases.abandon(database, held, error)
    assert leases.settle_lost(database) == [job_id]
    last = rows.row(database, job_id).error
    assert last is not None
    assert last["type"] == "unavailable"
    assert "the store was away" in last["detail"]


def test_a_job_handed_back_any_number_of_times_has_no_strike(database: Database) -> None:
    job_id = rows.accept(database)
    for _ in range(leases.MAX_FAILURES + 2):
        leases.release(database, rows.claim(database))
        job = rows.row(database, job_id)
        assert (job.status, job.failures, job.worker, job.lease_until) == (JobStatus.QUEUED, 0, None, None)
    assert rows.row(database, job_id).attempt == leases.MAX_FAILURES + 2


def test_cancel_while_queued_ends_the_job_at_once(database: Database) -> None:
    job_id = rows.accept(database)
    assert requests.cancel(database, job_id).status == JobStatus.CANCELED
    job = rows.row(database, job_id)
    assert (job.status, job.lease_until) == (JobStatus.CANCELED, None)
    assert job.finished_at is not None
    assert leases.claim(database, Queue.TRAIN, "w", rows.LONG) is None
    with pytest.raises(Conflict):
        requests.cancel(database, job_id)


def test_cancel_while_running_is_told_at_the_next_renewal(database: Database) -> None:
    held = rows.claimed(database)
    assert requests.cancel(database, held.job_id).status == JobStatus.RUNNING
    assert leases.renew(database, held, rows.LONG) == Reason.CANCELED
    leases.canceled(database, held)
    assert rows.row(database, held.job_id).status == JobStatus.CANCELED


def test_cancel_of_a_job_whose_worker_was_lost_is_settled(database: Database) -> None:
    held = rows.claimed(database)
    requests.cancel(database, held.job_id)
    rows.expire(database, held.job_id)
    assert leases.claim(database, Queue.TRAIN, "other", rows.LONG) is None
    assert leases.waiting(database, Queue.TRAIN) == 0
    assert leases.settle_lost(database) == [held.job_id]
    job = rows.row(database, held.job_id)
    assert (job.status, job.error) == (JobStatus.CANCELED, None)


def test_a_job_to_be_canceled_is_not_handed_back_but_ends(database: Database) -> None:
    held = rows.claimed(database)
    requests.cancel(database, held.job_id)
    leases.release(database, held)
    assert rows.row(database, held.job_id).status == JobStatus.CANCELED


@pytest.mark.parametrize("end", ["failed", "canceled", "succeeded"])
def test_a_job_that_has_ended_is_resumed_from_its_checkpoint(database: Database, end: str) -> None:
    held = rows.claimed(database)
    leases.checkpoint(database, held, rows.stored("c/1"))
    if end == "failed":
        leases.fail(database, held, {"type": "t", "detail": "d"})
    elif end == "canceled":
        requests.cancel(database, held.job_id)
        leases.canceled(database, held)
    else:
        leases.succeed(database, held, [], rows.DONE)
    with_more = {**rows.PARAMS, "iterations": 900}
    job = requests.resume(database, held.job_id, with_more)
    assert (job.status, job.error, job.finished_at, job.cancel_requested, job.failures) == (
        JobStatus.QUEUED,
        None,
        None,
        False,
        0,
    )
    again = rows.claim(database)
    assert (again.checkpoint, again.params, again.token) == ("c/1", with_more, held.token + 1)
    with pytest.raises(LeaseLost):
        leases.renew(database, held, rows.LONG)


def test_a_job_that_has_not_ended_is_not_resumed(database: Database) -> None:
    job_id = rows.accept(database)
    with pytest.raises(Conflict, match="still queued"):
        requests.resume(database, job_id)
    rows.claim(database)
    with pytest.raises(Conflict, match="still running"):
        requests.resume(database, job_id)


def test_a_job_whose_dataset_was_deleted_is_not_resumed(database: Database) -> None:
    from core.storage import datasets

    dataset = rows.add_dataset(database)
    held = rows.claimed(database, rows.train(dataset.id))
    leases.fail(database, held, {"type": "t", "detail": "d"})
    datasets.delete(database, dataset.id)
    with pytest.raises(Conflict, match="cannot go on"):
        requests.resume(database, held.job_id)
    assert rows.row(database, held.job_id).status == JobStatus.FAILED


def test_delete_gives_the_files_and_takes_every_row(database: Database) -> None:
    held = rows.claimed(database)
    leases.record(database, held, rows.DONE, [(1, {"energy": 1.0})])
    leases.publish(database, held, rows.artifact("a.png", "a/1"))
    leases.checkpoint(database, held, rows.stored("c/1"))
    with pytest.raises(Conflict, match="cancel it first"):
        requests.delete(database, held.job_id)
    leases.succeed(database, held, [rows.artifact("b.png", "b/1")], rows.DONE)
    assert sorted(requests.delete(database, held.job_id)) == ["a/1", "b/1", "c/1"]
    assert not any(rows.count(database).values())
    with pytest.raises(NotFound):
        requests.find(database, held.job_id)


def test_a_queued_job_is_not_deleted(database: Database) -> None:
    job_id = rows.accept(database)
    with pytest.raises(Conflict):
        requests.delete(database, job_id)
    assert rows.row(database, job_id).status == JobStatus.QUEUED


def test_waiting_counts_what_could_be_claimed(database: Database) -> None:
    assert leases.waiting(database, Queue.TRAIN) == 0
    first, second = rows.accept(database), rows.accept(database)
    assert (leases.waiting(database, Queue.TRAIN), leases.waiting(database, Queue.SAMPLE)) == (2, 0)
    rows.claim(database)
    assert leases.waiting(database, Queue.TRAIN) == 1
    rows.expire(database, first)
    assert leases.waiting(database, Queue.TRAIN) == 2
    requests.cancel(database, second)
    assert leases.waiting(database, Queue.TRAIN) == 1


def test_unheard_tells_of_each_job_once_within_its_seconds(database: Database) -> None:
    accepted = [rows.accept(database) for _ in range(4)]
    assert sorted(leases.unheard(database, Queue.TRAIN, rows.LONG, 3)) == sorted(accepted[:3])  # the oldest
    assert leases.unheard(database, Queue.TRAIN, rows.LONG, 3) == accepted[3:]
    assert leases.unheard(database, Queue.TRAIN, rows.LONG, 3) == []
    time.sleep(0.1)
    assert sorted(leases.unheard(database, Queue.TRAIN, 0.05, 10)) == sorted(accepted)
    assert leases.unheard(database, Queue.SAMPLE, 0.0, 10) == []


def test_unheard_by_racing_reconcilers_tells_of_each_job_once(database: Database) -> None:
    accepted = [rows.accept(database) for _ in range(20)]
    together = threading.Barrier(RACERS)

    def look(_: Any) -> list[str]:
        together.wait()
        return leases.unheard(database, Queue.TRAIN, rows.LONG, 20)

    with ThreadPoolExecutor(RACERS) as pool:
        told = [job_id for one in pool.map(look, range(RACERS)) for job_id in one]
    told += leases.unheard(database, Queue.TRAIN, rows.LONG, 20)
    assert sorted(told) == sorted(accepted)


def test_a_job_whose_row_is_locked_for_a_moment_is_waited_for(database: Database) -> None:
    """As a reconciler locks it while it rings: the only job of a queue must not seem to be none."""
    job_id = rows.accept(database)
    locked, claims = threading.Event(), []

    def claim() -> None:
        locked.wait(10)
        claims.append(leases.claim(database, Queue.TRAIN, "w", 60.0))

    worker = threading.Thread(target=claim)
    worker.start()
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(notified_at=0.0))
        locked.set()
        worker.join(0.5)
        assert claims == [], "it waits"
    worker.join(10)
    assert [one.job_id for one in claims] == [job_id]


def test_a_renewal_after_giving_up_counts_no_jump_of_the_clock_as_work(database: Database) -> None:
    held = rows.claimed(database)
    with database.write() as session:
        times = {"leased_at": Job.leased_at - 1e6, "lease_until": Job.lease_until - 1e6}
        session.execute(update(Job).where(Job.seq == held.seq).values(**times))
    leases.abandon(database, held)
    leases.renew(database, held, rows.LONG)
    assert rows.row(database, held.job_id).worked_seconds <= rows.LONG
