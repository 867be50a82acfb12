"""What a job's owner does with it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import rows

from core.jobs import leases, outcomes, requests, running
from core.jobs.leases import find_silent
from core.schemas.jobs import JobKind, JobStatus, Progress, Queue
from core.storage import datasets, models
from core.storage.access import Access
from core.storage.database import Database
from core.storage.errors import Conflict, LeaseLost, NotFound
from core.storage.idempotency import Idempotency, find_earlier
from core.storage.tables import ApiKey, Job, new_id

RACERS = 4
POSTERS = 8
KEY = Idempotency("key", b"1" * 32)


def test_an_accepted_job_is_queued_with_all_its_parameters(database: Database) -> None:
    dataset = rows.add_dataset(database)
    job = requests.accept(database, rows.train(dataset.id))
    found = requests.find(database, job.id)
    assert (found.kind, found.queue, found.status) == (JobKind.TRAIN, "train", JobStatus.QUEUED)
    assert (found.params, found.preset, found.dataset_id) == (dict(rows.PARAMS), "quick", dataset.id)
    assert (found.token, found.attempt, found.failures, found.cancel_requested) == (0, 0, 0, False)
    assert (found.started_at, found.finished_at, found.lease_until, found.notified_at) == (None, None, None, None)


def test_the_same_key_and_request_return_the_same_job(database: Database) -> None:
    first = requests.accept(database, rows.train(), KEY)
    assert requests.accept(database, rows.train(), KEY).id == first.id
    earlier = find_earlier(database, Job, KEY)
    assert earlier is not None
    assert earlier.id == first.id
    assert rows.count(database)["jobs"] == 1


def test_the_same_key_for_another_request_is_refused(database: Database) -> None:
    requests.accept(database, rows.train(), KEY)
    other = Idempotency(KEY.key, b"2" * 32)
    with pytest.raises(Conflict, match="already used"):
        requests.accept(database, rows.train(), other)
    with pytest.raises(Conflict, match="already used"):
        find_earlier(database, Job, other)
    assert rows.count(database)["jobs"] == 1


def test_a_key_that_was_refused_may_be_used_again(database: Database) -> None:
    with pytest.raises(NotFound):
        requests.accept(database, rows.train("dataset_none"), KEY)
    assert find_earlier(database, Job, KEY) is None
    requests.accept(database, rows.train(), KEY)


def test_concurrent_requests_with_one_key_make_one_job(database: Database) -> None:
    dataset = rows.add_dataset(database)
    together = threading.Barrier(POSTERS)

    def post(_: int) -> str:
        together.wait()
        return rows.accept(database, rows.train(dataset.id), KEY)

    with ThreadPoolExecutor(POSTERS) as pool:
        ids = set(pool.map(post, range(POSTERS)))
    assert len(ids) == 1
    assert rows.count(database)["jobs"] == 1


def test_concurrent_requests_without_a_key_are_all_accepted(database: Database) -> None:
    dataset = rows.add_dataset(database)
    with ThreadPoolExecutor(POSTERS) as pool:
        ids = set(pool.map(lambda _: rows.accept(database, rows.train(dataset.id)), range(4 * POSTERS)))
    assert len(ids) == 4 * POSTERS


def test_a_job_whose_dataset_or_model_does_not_exist_is_refused(database: Database) -> None:
    with pytest.raises(NotFound, match="dataset_none"):
        requests.accept(database, rows.train("dataset_none"))
    with pytest.raises(NotFound, match="model_none"):
        requests.accept(database, rows.sample("model_none"))
    assert rows.count(database)["jobs"] == 0


HEARTBEAT = 1.0


def test_a_queued_job_says_which_jobs_of_its_queue_are_worked_on(database: Database) -> None:
    def waits_for(job_id: str) -> list[tuple[str | None, float | None]] | None:
        found = requests.find_running_before(database, [rows.row(database, job_id)], HEARTBEAT).get(job_id)
        return None if found is None else [(one.id, one.eta_seconds) for one in found]

    model_id = rows.add_model(database)
    claims = [rows.claimed(database) for _ in range(4)]
    job_id = rows.accept(database)
    for lease, seconds in zip(claims, (90.0, None, 30.0, 600.0), strict=True):
        running.record(database, lease, rows.DONE.model_copy(update={"eta_seconds": seconds}))
    assert waits_for(job_id) == [(claims[2].job_id, 30.0), (claims[0].job_id, 90.0), (claims[3].job_id, 600.0)]
    assert waits_for(rows.accept(database, rows.sample(model_id))) == [], "of another queue"
    assert waits_for(claims[0].job_id) is None
    running.record(database, claims[3], rows.DONE.model_copy(update={"eta_seconds": 0.0}))
    assert waits_for(job_id) == [(claims[3].job_id, 0.0), (claims[2].job_id, 30.0), (claims[0].job_id, 90.0)]
    rows.silence(database, claims[0].job_id)  # so how long it takes is not known
    rows.expire(database, claims[2].job_id)  # its worker is lost: nobody works on it
    assert waits_for(job_id) == [(claims[3].job_id, 0.0), (claims[0].job_id, None), (claims[1].job_id, None)]
    outcomes.abandon(database, claims[3], wait_seconds=rows.LONG)  # between two attempts
    assert waits_for(job_id) == [(claims[0].job_id, None), (claims[1].job_id, None)]


def test_a_split_job_is_worked_on_and_heard_from_while_one_of_its_shards_is(database: Database) -> None:
    job_id, waiting = rows.accept(database, rows.split(shards=2)), rows.accept(database, rows.sample())
    leases_ = [rows.claim(database, Queue.SAMPLE) for _ in range(2)]
    for lease in leases_:
        running.begin(database, lease)

    def running_before() -> list[str | None]:
        found = requests.find_running_before(database, [rows.row(database, waiting)], HEARTBEAT)
        return [one.id for one in found[waiting]]

    rows.silence(database, leases_[0].job_id)
    assert (running_before(), find_silent(database, HEARTBEAT)) == ([job_id], set())
    rows.silence(database, leases_[1].job_id)
    assert (running_before(), find_silent(database, HEARTBEAT)) == ([job_id], {job_id})
    for lease in leases_:
        outcomes.abandon(database, lease, wait_seconds=rows.LONG)
    assert (running_before(), find_silent(database, HEARTBEAT)) == ([], set())
    for lease in leases_:
        rows.expire(database, lease.job_id)
    assert find_silent(database, HEARTBEAT) == {job_id}


def test_a_job_that_pauses_after_an_attempt_has_no_silent_worker(database: Database) -> None:
    lease = rows.claimed(database)
    outcomes.abandon(database, lease, wait_seconds=rows.LONG)
    rows.silence(database, lease.job_id)
    assert find_silent(database, HEARTBEAT) == set()
    rows.expire(database, lease.job_id)
    assert find_silent(database, HEARTBEAT) == {lease.job_id}, "the pause is over, and no worker has claimed it"


def test_a_worker_is_silent_after_several_heartbeats(database: Database) -> None:
    lease, other = rows.claimed(database), rows.claimed(database)
    assert find_silent(database, HEARTBEAT) == set()
    rows.silence(database, lease.job_id)
    assert find_silent(database, HEARTBEAT) == {lease.job_id}
    assert find_silent(database, HEARTBEAT, [other.job_id]) == set()
    assert find_silent(database, rows.SILENCE_SECONDS) == set(), "it is seldom heard from"
    leases.renew(database, lease, rows.LONG)
    assert find_silent(database, HEARTBEAT) == set()


def test_a_job_that_waits_for_another_attempt_says_no_time_left(database: Database) -> None:
    def left(job_id: str) -> float | None:
        found: float | None = rows.row(database, job_id).progress["eta_seconds"]
        return found

    lease = rows.claimed(database)
    running.record(database, lease, rows.DONE.model_copy(update={"eta_seconds": 90.0}))
    assert left(lease.job_id) == 90
    outcomes.release(database, lease)
    assert left(lease.job_id) is None
    lost = rows.claim(database)
    running.record(database, lost, rows.DONE.model_copy(update={"eta_seconds": 80.0}))
    rows.silence(database, lost.job_id)
    rows.expire(database, lost.job_id)
    assert find_silent(database, HEARTBEAT) == {lost.job_id}
    again = rows.claim(database)
    assert left(lost.job_id) is None
    running.record(database, again, rows.DONE.model_copy(update={"eta_seconds": 70.0}))
    outcomes.abandon(database, again, wait_seconds=rows.LONG)
    assert left(lost.job_id) is None


def test_queue_positions_count_from_the_oldest_of_each_queue(database: Database) -> None:
    model_id = rows.add_model(database)
    first, second, third = (rows.accept(database) for _ in range(3))
    sampling = rows.accept(database, rows.sample(model_id))
    everyone = requests.listing(database, limit=100)
    assert requests.queue_positions(database, everyone) == {first: 1, second: 2, third: 3, sampling: 1}
    rows.claim(database)
    everyone = requests.listing(database, limit=100)
    assert requests.queue_positions(database, everyone) == {second: 1, third: 2, sampling: 1}
    assert requests.queue_positions(database, [rows.row(database, first)]) == {}


def test_listing_pages_newest_first_and_filters(database: Database) -> None:
    model_id = rows.add_model(database)
    waiting = [rows.accept(database) for _ in range(5)]
    sampling = rows.accept(database, rows.sample(model_id))
    train = [job.id for job in requests.listing(database, kind=JobKind.TRAIN, status=JobStatus.QUEUED, limit=100)]
    assert train == waiting[::-1]
    assert [job.id for job in requests.listing(database, kind=JobKind.SAMPLE, limit=100)] == [sampling]
    assert len(requests.listing(database, status=JobStatus.SUCCEEDED, limit=100)) == 1
    pages, after = [], None
    while found := requests.listing(database, status=JobStatus.QUEUED, limit=2, after=after):
        assert len(found) <= 2
        pages += [job.id for job in found]
        after = pages[-1]
        rows.accept(database)  # newer ones do not shift the pages
    assert pages == [sampling, *waiting[::-1]]
    with pytest.raises(NotFound):
        requests.listing(database, limit=1, after="job_none")


def test_a_job_of_several_models_is_refused_if_one_does_not_exist(database: Database) -> None:
    there = rows.add_model(database)
    with pytest.raises(NotFound, match="model_none"):
        requests.accept(database, rows.classify(there, "model_none"))
    assert rows.count(database)["job_models"] == 0


def test_cancel_ends_a_queued_job_at_once(database: Database) -> None:
    job_id = rows.accept(database)
    assert requests.cancel(database, job_id).status == JobStatus.CANCELED
    job = rows.row(database, job_id)
    assert (job.status, job.lease_until) == (JobStatus.CANCELED, None)
    assert job.finished_at is not None
    assert leases.claim(database, Queue.TRAIN, "w", rows.LONG) is None
    with pytest.raises(Conflict, match=f"^job {job_id} has already been canceled$"):
        requests.cancel(database, job_id)


def test_cancel_ends_a_job_that_waits_for_another_try_at_once(database: Database) -> None:
    lease = rows.claimed(database)
    outcomes.abandon(database, lease, {"type": "unavailable", "detail": "d"}, wait_seconds=rows.LONG)
    assert requests.cancel(database, lease.job_id).status == JobStatus.CANCELED
    lost = rows.claimed(database)
    rows.expire(database, lost.job_id)
    assert requests.cancel(database, lost.job_id).status == JobStatus.CANCELED
    with pytest.raises(LeaseLost):
        outcomes.succeed(database, lost, [], rows.DONE)


@pytest.mark.parametrize("end", ["failed", "canceled", "succeeded"])
def test_a_job_that_has_ended_is_resumed_from_its_checkpoint(database: Database, end: str) -> None:
    lease = rows.claimed(database)
    running.checkpoint(database, lease, rows.stored("c/1"))
    if end == "failed":
        outcomes.fail(database, lease, {"type": "t", "detail": "d"})
    elif end == "canceled":
        requests.cancel(database, lease.job_id)
        outcomes.cancel(database, lease)
    else:
        outcomes.succeed(database, lease, [], rows.DONE)
    with_more = {**rows.PARAMS, "iterations": 900}
    job = requests.resume(database, lease.job_id, with_more)
    assert (job.status, job.error, job.finished_at, job.cancel_requested, job.failures) == (
        JobStatus.QUEUED,
        None,
        None,
        False,
        0,
    )
    again = rows.claim(database)
    assert (again.checkpoint, again.params, again.token) == ("c/1", with_more, lease.token + 1)
    with pytest.raises(LeaseLost):
        leases.renew(database, lease, rows.LONG)


def test_a_job_without_a_checkpoint_starts_anew(database: Database) -> None:
    lease = rows.claimed(database)
    running.record(database, lease, Progress(stage=1, iteration=30, iterations=100, fraction=0.3, eta_seconds=7.0))
    requests.cancel(database, lease.job_id)
    outcomes.cancel(database, lease)
    assert rows.row(database, lease.job_id).progress["iteration"] == 30
    job = requests.resume(database, lease.job_id)
    assert Progress.model_validate(job.progress) == Progress(iterations=100)


def test_a_job_that_has_not_ended_is_not_resumed(database: Database) -> None:
    job_id = rows.accept(database)
    with pytest.raises(Conflict, match="still queued"):
        requests.resume(database, job_id)
    rows.claim(database)
    with pytest.raises(Conflict, match="still running"):
        requests.resume(database, job_id)


def test_a_job_whose_dataset_was_deleted_is_not_resumed(database: Database) -> None:
    dataset = rows.add_dataset(database)
    lease = rows.claimed(database, rows.train(dataset.id))
    outcomes.fail(database, lease, {"type": "t", "detail": "d"})
    datasets.delete(database, dataset.id)
    with pytest.raises(Conflict, match="cannot go on"):
        requests.resume(database, lease.job_id)
    assert rows.row(database, lease.job_id).status == JobStatus.FAILED


def test_one_of_several_concurrent_resumes_succeeds(database: Database) -> None:
    lease = rows.claimed(database)
    outcomes.fail(database, lease, {"type": "t", "detail": "d"})
    won = _race(lambda: requests.resume(database, lease.job_id))
    assert won == 1
    assert rows.row(database, lease.job_id).status == JobStatus.QUEUED


def test_delete_returns_the_files_and_removes_every_row(database: Database) -> None:
    lease = rows.claimed(database)
    running.record(database, lease, rows.DONE, [(1, {"energy": 1.0})])
    running.publish(database, lease, rows.artifact("a.png", "a/1"))
    running.checkpoint(database, lease, rows.stored("c/1"))
    with pytest.raises(Conflict, match="cancel it first"):
        requests.delete(database, lease.job_id)
    outcomes.succeed(database, lease, [rows.artifact("b.png", "b/1")], rows.DONE)
    assert sorted(requests.delete(database, lease.job_id)) == ["a/1", "b/1", "c/1"]
    assert not any(rows.count(database).values())
    with pytest.raises(NotFound):
        requests.find(database, lease.job_id)


def test_a_queued_job_is_not_deleted(database: Database) -> None:
    job_id = rows.accept(database)
    with pytest.raises(Conflict):
        requests.delete(database, job_id)
    assert rows.row(database, job_id).status == JobStatus.QUEUED


def test_owners_do_not_share_idempotency_keys(database: Database) -> None:
    key = Idempotency("k", b"1" * 32)
    owners = [_owner(database, number) for number in (1, 2)]
    first, second = (
        requests.accept(database.scoped_to(Access(owner=seq, sees_all=False)), rows.train(), key).id for seq in owners
    )
    assert first != second


def test_unknown_ids_are_not_found(database: Database) -> None:
    for ask in (
        requests.find,
        requests.cancel,
        requests.resume,
        requests.delete,
        requests.metrics,
        datasets.find,
        datasets.delete,
    ):
        with pytest.raises(NotFound, match="'none'"):
            ask(database, "none")
    for ask_model in (models.find, models.delete):
        with pytest.raises(NotFound, match="'none'"):
            ask_model(database, "none")


def _race(action: Callable[[], object]) -> int:
    """Run `action` in several threads at once. Return how many succeed."""
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
