"""Models that were learned elsewhere are imported whole or not at all."""

import tempfile
from dataclasses import replace
from typing import Any

import pytest
from support import rows
from support.models import model_file

from api.errors import Problem
from api.models import service
from api.models.service import import_model, subject_of
from core.jobs import outcomes, requests
from core.storage import datasets, models
from core.storage.errors import Conflict
from core.storage.idempotency import Idempotency
from core.storage.tables import Model

KEY = Idempotency("k", b"1" * 32)


def _import(
    app_state: Any, content: bytes | None = None, name: str | None = None, key: Idempotency | None = None
) -> Model:
    with tempfile.TemporaryFile() as file:
        file.write(model_file() if content is None else content)
        return import_model(app_state, file, "m.safetensors", name, key)


def _files(app_state: Any) -> list[str]:
    return [one.path for one in app_state.blobs.list_files("models/")]


def test_the_file_is_stored_and_the_row_says_what_is_in_it(app_state: Any) -> None:
    content = model_file()
    model = models.find(app_state.database, _import(app_state, content, "bricks").id)
    assert (model.name, model.job_id, model.bytes, model.channels) == ("bricks", None, len(content), 1)
    assert app_state.blobs.get(model.blob) == content


def test_a_broken_file_is_named_and_not_stored(app_state: Any) -> None:
    with pytest.raises(Problem) as refused:
        _import(app_state, model_file()[:-5])
    assert (refused.value.status, refused.value.detail.partition(": ")[0]) == (422, "m.safetensors")
    assert [(one["field"], one["file"]) for one in refused.value.errors] == [("model", "m.safetensors")]
    assert (rows.count(app_state.database)["models"], _files(app_state)) == (0, [])


def test_the_same_request_under_one_key_is_stored_once(app_state: Any) -> None:
    first = _import(app_state, key=KEY)
    assert _import(app_state, b"not even read", key=KEY).id == first.id
    with pytest.raises(Conflict):
        _import(app_state, key=replace(KEY, request_sha256=b"2" * 32))
    assert len(_files(app_state)) == 1


def test_of_two_requests_at_once_one_keeps_its_file(app_state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _import(app_state, key=KEY)
    monkeypatch.setattr(service, "find_earlier", lambda *_: None)  # the second looked before the first was stored
    assert _import(app_state, key=KEY).id == first.id
    assert _files(app_state) == [first.blob]


def test_a_model_is_about_its_name_or_else_the_pictures_that_it_learned_from(app_state: Any) -> None:
    database = app_state.database
    dataset = rows.add_dataset(database, "walls")
    lease = rows.claimed(database, rows.train(dataset.id))
    learned = rows.new_model()
    outcomes.succeed(database, lease, [], rows.DONE, model=learned)
    assert subject_of(database, models.find(database, learned.id)) == "walls"
    models.rename(database, learned.id, "bricks.jpg")
    assert subject_of(database, models.find(database, learned.id)) == "bricks.jpg", "a name is no file's"
    models.rename(database, learned.id, None)
    datasets.delete(database, dataset.id)
    assert subject_of(database, models.find(database, learned.id)) is None
    requests.delete(database, lease.job_id)
    assert subject_of(database, models.find(database, learned.id)) is None
    imported = _import(app_state)
    assert subject_of(database, imported) is None
