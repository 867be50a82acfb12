"""What is asked for twice under one key is created once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from support import rows
from support.keys import holder

from core.storage import idempotency
from core.storage.access import owner_of
from core.storage.database import Database
from core.storage.errors import Conflict
from core.storage.idempotency import Idempotency, create_once, find_earlier
from core.storage.tables import Dataset, Model

KEY = Idempotency("k", b"1" * 32)


def _adds(dataset_id: str) -> Callable[[Session], Dataset]:
    def create(session: Session) -> Dataset:
        dataset = Dataset(id=dataset_id, owner_seq=owner_of(session), images=[])
        session.add(dataset)
        session.flush()
        return dataset

    return create


def test_the_row_of_the_first_request_is_returned_to_the_second(database: Database) -> None:
    assert find_earlier(database, Dataset, KEY) is None
    first = create_once(database, Dataset, KEY, _adds("dataset_1"))
    second = create_once(database, Dataset, KEY, _adds("dataset_2"))
    assert first.id == second.id == "dataset_1"
    found = find_earlier(database, Dataset, KEY)
    assert found is not None
    assert found.id == "dataset_1"
    assert rows.count(database)["datasets"] == 1


def test_without_a_key_each_request_adds_a_row(sqlite_database: Database) -> None:
    for number in range(2):
        create_once(sqlite_database, Dataset, None, _adds(f"dataset_{number}"))
    assert rows.count(sqlite_database)["datasets"] == 2
    with pytest.raises(IntegrityError):
        create_once(sqlite_database, Dataset, None, _adds("dataset_0"))


@pytest.mark.parametrize(("key", "table"), [(replace(KEY, request_sha256=b"2" * 32), Dataset), (KEY, Model)])
def test_a_key_is_of_one_request_and_one_kind(
    sqlite_database: Database, key: Idempotency, table: type[Dataset] | type[Model]
) -> None:
    create_once(sqlite_database, Dataset, KEY, _adds("dataset_1"))
    with pytest.raises(Conflict, match="the Idempotency-Key 'k' was already used for another request"):
        find_earlier(sqlite_database, table, key)
    with pytest.raises(Conflict):
        create_once(sqlite_database, Dataset, replace(KEY, request_sha256=b"2" * 32), _adds("dataset_2"))


def test_a_request_that_fails_leaves_its_key_free(sqlite_database: Database) -> None:
    def fails(session: Session) -> Dataset:
        _adds("dataset_1")(session)
        raise RuntimeError("refused")

    with pytest.raises(RuntimeError):
        create_once(sqlite_database, Dataset, KEY, fails)
    assert create_once(sqlite_database, Dataset, KEY, _adds("dataset_2")).id == "dataset_2"


def test_of_two_requests_at_once_the_slower_one_gets_the_row_of_the_other(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, attempts = idempotency._create_once, []

    def overtaken(*given: Any) -> Dataset:
        """Do as at a first attempt during which the other request commits, and then as usual."""
        attempts.append(given)
        if len(attempts) > 1:
            return attempt(*given)
        attempt(sqlite_database, Dataset, KEY, _adds("dataset_fast"))
        raise IntegrityError("INSERT", {}, Exception("the key is there"))

    monkeypatch.setattr(idempotency, "_create_once", overtaken)
    assert create_once(sqlite_database, Dataset, KEY, _adds("dataset_slow")).id == "dataset_fast"
    assert rows.count(sqlite_database)["datasets"] == 1


def test_owners_have_keys_of_their_own(sqlite_database: Database) -> None:
    for name in ("ada", "bob"):
        own = holder(sqlite_database, name).database
        assert create_once(own, Dataset, KEY, _adds(f"dataset_{name}")).id == f"dataset_{name}"
        assert create_once(own, Dataset, KEY, _adds("dataset_other")).id == f"dataset_{name}"
