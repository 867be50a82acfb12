"""Models are listed newest first, and stay while a job needs them."""

import pytest
from support import rows

from core.jobs import outcomes, requests
from core.schemas.jobs import Queue
from core.storage import models
from core.storage.database import Database
from core.storage.errors import Conflict, NotFound


@pytest.mark.parametrize("state", ["queued", "running", "ended"])
def test_a_model_is_not_deleted_while_a_job_needs_it(database: Database, state: str) -> None:
    model_id = rows.add_model(database)
    job_id = rows.accept(database, rows.sample(model_id))
    if state != "queued":
        lease = rows.claim(database, rows.sample().kind.queue)
    if state == "ended":
        outcomes.succeed(database, lease, [], rows.DONE)
        path = models.find(database, model_id).blob
        assert models.delete(database, model_id) == [path]
        with pytest.raises(NotFound):
            models.find(database, model_id)
        with pytest.raises(NotFound):
            rows.accept(database, rows.sample(model_id))
        return
    with pytest.raises(Conflict, match=job_id):
        models.delete(database, model_id)


@pytest.mark.parametrize("state", ["queued", "running", "ended", "resumed"])
def test_no_model_is_deleted_while_a_job_of_several_models_needs_it(database: Database, state: str) -> None:
    chosen = [rows.add_model(database) for _ in range(3)]
    other = rows.add_model(database)
    job_id = rows.accept(database, rows.classify(*chosen))
    if state != "queued":
        lease = rows.claim(database, Queue.SAMPLE)
        assert lease.model_ids == tuple(chosen)
    if state in ("ended", "resumed"):
        outcomes.fail(database, lease, {"type": "t", "detail": "d"})
    if state == "resumed":
        requests.resume(database, job_id)
    models.delete(database, other)
    for model_id in chosen:
        if state == "ended":
            models.delete(database, model_id)
        else:
            with pytest.raises(Conflict, match=job_id):
                models.delete(database, model_id)
    if state == "ended":
        with pytest.raises(Conflict, match="cannot go on"):
            requests.resume(database, job_id)
        requests.delete(database, job_id)
        assert rows.count(database)["job_models"] == 0


def test_models_page_newest_first(database: Database) -> None:
    learned = [rows.add_model(database) for _ in range(3)]
    assert [one.id for one in models.listing(database, limit=2)] == learned[:0:-1]
    assert [one.id for one in models.listing(database, limit=2, after=learned[1])] == learned[:1]
    with pytest.raises(NotFound):
        models.listing(database, limit=1, after="none")
