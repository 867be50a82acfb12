"""A key sees only its own rows in every query; an admin sees all rows."""

import pytest
from sqlalchemy import func, select
from support import rows

from core.jobs import outcomes, requests
from core.schemas.jobs import JobKind, Queue
from core.storage import datasets, models
from core.storage.access import Access
from core.storage.database import Database
from core.storage.errors import NotFound
from core.storage.idempotency import Idempotency
from core.storage.tables import ApiKey, Base, Dataset, Job, Model, Owned, new_id


@pytest.fixture
def ada(database: Database) -> Database:
    return _as_new_key(database, "ada")


@pytest.fixture
def bob(database: Database) -> Database:
    return _as_new_key(database, "bob")


_JOB_CALLS = (requests.find, requests.metrics, requests.cancel, requests.resume, requests.delete)


def _as_new_key(database: Database, name: str) -> Database:
    key = ApiKey(id=new_id("key"), name=name, prefix=name, sha256=name.encode().ljust(32))
    with database.write() as session:
        session.add(key)
        session.flush()
        return database.scoped_to(Access(owner=key.seq, sees_all=False))


def test_rows_of_another_key_look_absent_to_every_call(ada: Database, bob: Database) -> None:
    dataset = rows.add_dataset(ada).id
    job = rows.accept(ada, rows.train(dataset))
    for call, id_ in ((datasets.find, dataset), (datasets.delete, dataset), *((call, job) for call in _JOB_CALLS)):
        with pytest.raises(NotFound) as foreign:
            call(bob, id_)
        with pytest.raises(NotFound) as absent:
            call(bob, "absent")
        assert str(foreign.value).replace(id_, "absent") == str(absent.value)
    assert [datasets.listing(bob, limit=9), requests.listing(bob, limit=9)] == [[], []]
    with pytest.raises(NotFound):
        requests.listing(bob, limit=9, after=job)
    with pytest.raises(NotFound):
        rows.accept(bob, rows.train(dataset))
    assert [row.id for row in requests.listing(ada, limit=9)] == [job]


def test_an_admin_sees_all_rows_and_owns_those_it_adds(database: Database, ada: Database) -> None:
    theirs = rows.add_dataset(ada).id
    assert datasets.find(database, theirs).owner_seq == ada.access.owner
    admin = database.scoped_to(Access(owner=ada.access.owner, sees_all=True))
    assert datasets.find(database, rows.add_dataset(database).id).owner_seq is None
    assert datasets.find(admin, rows.add_dataset(admin).id).owner_seq == ada.access.owner
    assert len(datasets.listing(admin, limit=9)) == 3


def test_a_model_belongs_to_the_owner_of_its_training_job(database: Database, ada: Database) -> None:
    rows.accept(ada, rows.train())
    model = rows.new_model()
    outcomes.succeed(database, rows.claim(database), [], rows.DONE, model=model)
    assert models.find(ada, model.id).owner_seq == ada.access.owner


def test_the_queue_position_counts_the_jobs_of_all_owners(ada: Database, bob: Database) -> None:
    rows.accept(ada)
    behind = rows.row(bob, rows.accept(bob))
    assert requests.queue_positions(bob, [behind]) == {behind.id: 2}
    rows.claim(ada)
    theirs = requests.RunningJob(None, JobKind.TRAIN, None)
    assert requests.find_running_before(bob, [behind], 1.0) == {behind.id: [theirs]}


def test_shards_belong_to_the_owner_of_their_job(database: Database, ada: Database) -> None:
    job = rows.accept(ada, rows.split())
    assert {shard.owner_seq for shard in rows.shards(database, job)} == {ada.access.owner}
    assert rows.claim(database, Queue.SAMPLE).parent_id == job


def test_two_owners_may_upload_under_the_same_idempotency_key(ada: Database, bob: Database) -> None:
    key = Idempotency("same", b"x" * 32)
    mine, theirs = (rows.add_dataset(owner, idempotency=key).id for owner in (ada, bob))
    assert mine != theirs
    assert rows.add_dataset(ada, idempotency=key).id == mine


def test_two_owners_may_use_the_same_idempotency_key(ada: Database, bob: Database) -> None:
    key = Idempotency("same", b"x" * 32)
    mine, theirs = (rows.accept(owner, idempotency=key) for owner in (ada, bob))
    assert mine != theirs
    assert rows.accept(ada, idempotency=key) == mine


@pytest.mark.parametrize("table", [Dataset, Job, Model])
def test_every_form_of_query_is_restricted_to_the_owner(table: type[Owned], ada: Database, bob: Database) -> None:
    rows.add_dataset(ada)
    rows.add_model(ada)
    with ada.read() as mine, bob.read() as theirs:
        for query in (select(table), select(func.count()).select_from(table), select(table.owner_seq)):
            found = [list(session.scalars(query)) for session in (mine, theirs)]
            assert found[0] not in ([], [0])
            assert found[1] in ([], [0])


def test_every_table_with_an_owner_column_is_restricted() -> None:
    owned = {mapper.local_table.name for mapper in Base.registry.mappers if issubclass(mapper.class_, Owned)}
    assert owned == {name for name, table in Base.metadata.tables.items() if "owner_seq" in table.columns}
