"""Artifacts and models that a job makes: which rows they become, and under which names."""

from dataclasses import replace

import pytest
from support import rows

from core.jobs import outcomes, requests, running
from core.storage import models
from core.storage.database import Database


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("Bricks", ["Bricks", "Bricks 2", "Bricks 4"]),
        ("50%_", ["50%_", "50%_ 2", "50%_ 3"]),
        ("b" * 200, ["b" * 200, f"{'b' * 196} 2", f"{'b' * 196} 3"]),
        (None, [None, None, None]),
    ],
)
def test_the_models_of_a_job_are_named_as_the_job_says_and_numbered(
    database: Database, name: str | None, names: list[str | None]
) -> None:
    taken = rows.add_model(database)
    models.rename(database, taken, "Bricks 3")
    lease = rows.claimed(database, replace(rows.train(), model_name=name))
    learned = [rows.new_model() for _ in names]
    for model in learned:
        if model is not learned[0]:
            requests.resume(database, lease.job_id, dict(rows.PARAMS))
            lease = rows.claim(database)
        outcomes.succeed(database, lease, [], rows.DONE, model=model)
    assert [models.find(database, one.id).name for one in learned] == names
    assert rows.row(database, lease.job_id).model_id == learned[-1].id


def test_publish_replaces_an_artifact_and_returns_the_path_of_the_old_file(database: Database) -> None:
    lease = rows.claimed(database)
    assert running.publish(database, lease, rows.artifact("preview.png", "p/1")) == []
    assert running.publish(database, lease, rows.artifact("preview.png", "p/2")) == ["p/1"]
    assert running.publish(database, lease, rows.artifact("preview.png", "p/2")) == []  # the same file is not to go
    assert outcomes.succeed(database, lease, [rows.artifact("preview.png", "p/3")], rows.DONE).replaced == ["p/2"]
    assert [one.blob for one in rows.row(database, lease.job_id).artifacts] == ["p/3"]
