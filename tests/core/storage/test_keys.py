"""Keys are stored as hashes and valid until revoked or expired; their limits; the audit log."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import update
from support import rows
from support.keys import holder

from core.jobs import requests
from core.storage import audit, datasets, keys
from core.storage.database import Database
from core.storage.errors import Conflict, LimitReached, NotFound
from core.storage.keys import NewKey
from core.storage.tables import ApiKey


def test_a_key_has_256_random_bits_and_only_its_hash_is_stored(database: Database) -> None:
    made = [keys.create(database, NewKey(name)) for name in ("ada", "bob")]
    for one in made:
        assert one.key.startswith("gcn_")
        assert len(one.key) == len("gcn_") + 43  # 256 bits, 6 a letter
        found = keys.find(database, one.key)
        assert found is not None
        assert found.id == one.row.id
        assert all(one.key not in str(value) for value in vars(found).values())
        assert len(found.prefix) == 10
    assert made[0].key != made[1].key


@pytest.mark.parametrize("given", ["", "gcn_", "gcn_" + "A" * 43, "\udc80", "\x00", "x" * 10_000])
def test_malformed_and_unknown_keys_are_not_found(database: Database, given: str) -> None:
    keys.create(database, NewKey("ada"))
    assert keys.find(database, given) is None


def test_a_revoked_key_is_invalid(database: Database) -> None:
    made = keys.create(database, NewKey("ada"))
    assert keys.any_unrevoked(database)
    assert keys.is_valid(database, made.row.id)
    assert keys.revoke(database, made.row.id).revoked_at is not None
    assert keys.find(database, made.key) is None
    assert not keys.is_valid(database, made.row.id)
    assert not keys.any_unrevoked(database)
    with pytest.raises(Conflict):
        keys.revoke(database, made.row.id)
    with pytest.raises(NotFound):
        keys.revoke(database, "key_none")


def test_an_expired_key_is_invalid_and_does_not_make_the_service_public(database: Database) -> None:
    made = keys.create(database, NewKey("ada", expires_days=1))
    assert made.row.expires_at == pytest.approx(made.row.created_at + 86_400, abs=5)
    assert keys.find(database, made.key) is not None
    with database.write() as session:
        session.execute(update(ApiKey).values(expires_at=made.row.created_at - 1))
    assert keys.find(database, made.key) is None
    assert not keys.is_valid(database, made.row.id)
    assert keys.any_unrevoked(database)


def test_concurrent_requests_cannot_exceed_max_unfinished_jobs(database: Database) -> None:
    ada, bob = holder(database, "ada", max_unfinished_jobs=2), holder(database, "bob")
    accepted, refused = _at_once(6, lambda: rows.accept(ada.database, rows.split()))
    assert (len(accepted), len(refused)) == (2, 4)
    assert "max_unfinished_jobs" in refused[0]
    rows.accept(bob.database)
    requests.cancel(ada.database, accepted[0])
    rows.accept(ada.database)
    with pytest.raises(LimitReached):
        requests.resume(ada.database, accepted[0])


def test_concurrent_uploads_cannot_exceed_max_stored_bytes(database: Database) -> None:
    ada = holder(database, "ada", max_stored_bytes=7)  # a picture of the tests has 3
    stored, refused = _at_once(4, lambda: rows.add_dataset(ada.database).id)
    assert (len(stored), len(refused)) == (2, 2)
    assert "max_stored_bytes" in refused[0]
    assert " 6 of them are in use" in refused[0]
    datasets.delete(ada.database, stored[0])
    rows.add_dataset(ada.database)


def test_results_and_models_count_as_stored_bytes(database: Database) -> None:
    ada = holder(database, "ada", max_stored_bytes=9)
    rows.add_dataset(ada.database)
    job_id = rows.accept(ada.database)
    lease = rows.claim(database)
    rows.outcomes.succeed(database, lease, [rows.artifact()], rows.DONE, model=rows.new_model())
    for call in (rows.accept, rows.add_dataset, lambda database: requests.resume(database, job_id)):
        with pytest.raises(LimitReached, match="9 of them are in use"):
            call(ada.database)


def test_the_audit_log_records_successful_actions_only(database: Database) -> None:
    ada = holder(database, "ada")
    dataset = rows.add_dataset(ada.database).id
    job_id = rows.accept(ada.database, rows.train(dataset))
    for refused in (requests.resume, requests.delete):
        with pytest.raises(Conflict):
            refused(ada.database, job_id)
    for done in (requests.cancel, requests.resume, requests.cancel, requests.delete):
        done(ada.database, job_id)
    datasets.delete(ada.database, dataset)
    keys.revoke(database, ada.id)
    entries = [(entry.key_id, entry.action, entry.subject) for entry in audit.latest(database, 100)]
    verbs = ("create", "cancel", "resume", "cancel", "delete")
    assert entries == [
        (None, "key.create", ada.id),
        (ada.id, "dataset.create", dataset),
        *((ada.id, f"job.{verb}", job_id) for verb in verbs),
        (ada.id, "dataset.delete", dataset),
        (None, "key.revoke", ada.id),
    ]
    assert [entry.action for entry in audit.latest(database, 2)] == ["dataset.delete", "key.revoke"]


def test_a_dataset_that_an_admins_job_needs_cannot_be_deleted_by_its_owner(database: Database) -> None:
    ada, admin = holder(database, "ada"), holder(database, "root", admin=True)
    dataset = rows.add_dataset(ada.database).id
    job_id = rows.accept(admin.database, rows.train(dataset))
    with pytest.raises(Conflict) as refused:
        datasets.delete(ada.database, dataset)
    assert job_id not in str(refused.value)


def _at_once(times: int, call: Callable[[], str]) -> tuple[list[str], list[str]]:
    """Call from `times` threads at once. Return the results, and the messages of LimitReached."""
    results: list[str] = []
    refused: list[str] = []
    start = threading.Barrier(times)

    def run() -> None:
        start.wait()
        try:
            results.append(call())
        except LimitReached as error:
            refused.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, refused
