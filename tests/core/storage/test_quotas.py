"""What a key may store and have unfinished at a time, however many requests arrive at once."""

import threading
from collections.abc import Callable

import pytest
from support import rows
from support.keys import holder

from core.jobs import requests
from core.storage import datasets
from core.storage.database import Database
from core.storage.errors import LimitReached


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
