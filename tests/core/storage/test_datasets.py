"""Datasets are listed newest first, and stay while a job needs them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import rows
from support.keys import holder

from core.jobs import outcomes
from core.storage import datasets
from core.storage.database import Database
from core.storage.errors import Conflict, NotFound


def test_a_dataset_that_an_admins_job_needs_cannot_be_deleted_by_its_owner(database: Database) -> None:
    ada, admin = holder(database, "ada"), holder(database, "root", admin=True)
    dataset = rows.add_dataset(ada.database).id
    job_id = rows.accept(admin.database, rows.train(dataset))
    with pytest.raises(Conflict) as refused:
        datasets.delete(ada.database, dataset)
    assert job_id not in str(refused.value)


@pytest.mark.parametrize("state", ["queued", "running", "ended"])
def test_a_dataset_is_not_deleted_while_a_job_needs_it(database: Database, state: str) -> None:
    dataset = rows.add_dataset(database, pictures=2)
    job_id = rows.accept(database, rows.train(dataset.id))
    if state != "queued":
        lease = rows.claim(database)
    if state == "ended":
        outcomes.fail(database, lease, {"type": "t", "detail": "d"})
        assert datasets.delete(database, dataset.id) == [image.blob for image in dataset.images]
        assert rows.count(database)["dataset_images"] == 0
        assert rows.row(database, job_id).dataset_id == dataset.id  # the job still names it
        return
    with pytest.raises(Conflict, match=job_id):
        datasets.delete(database, dataset.id)
    assert len(datasets.find(database, dataset.id).images) == 2


def test_a_dataset_deleted_while_jobs_are_posted_leaves_no_job_without_it(database: Database) -> None:
    for _ in range(5):
        dataset_id = rows.add_dataset(database).id
        together = threading.Barrier(2)

        def post(dataset_id: str = dataset_id, together: threading.Barrier = together) -> str | None:
            together.wait()
            try:
                return rows.accept(database, rows.train(dataset_id))
            except NotFound:
                return None

        def delete(dataset_id: str = dataset_id, together: threading.Barrier = together) -> bool:
            together.wait()
            try:
                datasets.delete(database, dataset_id)
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            posted, deleted = pool.submit(post), pool.submit(delete)
            assert (posted.result() is None) == deleted.result()


def test_datasets_page_newest_first(database: Database) -> None:
    made = [rows.add_dataset(database, f"d{index}", pictures=2).id for index in range(3)]
    first = datasets.listing(database, limit=2)
    assert [one.id for one in first] == made[:0:-1]
    assert [image.index for image in first[0].images] == [0, 1]
    assert [one.id for one in datasets.listing(database, limit=2, after=first[-1].id)] == made[:1]
    with pytest.raises(NotFound):
        datasets.listing(database, limit=1, after="none")
