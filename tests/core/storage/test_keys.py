"""Keys are stored as hashes and valid until revoked or expired."""

import pytest
from sqlalchemy import update

from core.storage import keys
from core.storage.database import Database
from core.storage.errors import Conflict, NotFound
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
