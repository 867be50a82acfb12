"""Artifacts and models that a job makes: which rows they become, and under which names."""

from dataclasses import replace

import pytest
from sqlalchemy import select
from support import rows

from core.jobs import outcomes, requests, running
from core.jobs.results import PREVIEW, attach, checkpoint_name, drop_previews, stages_at
from core.storage import models
from core.storage.database import Database
from core.storage.tables import Job, Preview


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


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        (None, 0),
        ("jobs/job_1/t/checkpoint-0-10.safetensors", 0),
        ("jobs/job_1/t/checkpoint-12-3.safetensors", 12),
        ("jobs/job_1/t/model.safetensors", 0),
    ],
)
def test_the_path_of_a_checkpoint_says_how_many_stages_were_complete(path: str | None, stages: int) -> None:
    assert stages_at(path) == stages
    assert stages_at(f"jobs/job_1/t/{checkpoint_name(stages, 7)}") == stages


def test_an_artifact_of_a_shard_is_its_jobs_and_replaces_one_of_the_same_name() -> None:
    parent = Job(artifacts=[], parent=None)
    shard = Job(artifacts=[], parent=parent)
    assert attach(shard, [rows.artifact("a.png", "p/1"), rows.artifact("b.png", "p/2")]) == []
    changed = replace(rows.artifact("a.png", "p/3"), width=99)
    assert attach(parent, [changed, rows.artifact("b.png", "p/2")]) == ["p/1"], "a file that stays is not to go"
    assert [(one.name, one.blob, one.width) for one in parent.artifacts] == [("a.png", "p/3", 99), ("b.png", "p/2", 8)]
    assert shard.artifacts == []


def test_previews_go_when_the_results_come(database: Database) -> None:
    lease = rows.claimed(database)
    running.publish(database, lease, rows.artifact(PREVIEW, "p/1"))
    running.publish(database, lease, rows.artifact("kept.png", "p/2"))
    with database.write() as session:
        job = session.scalars(select(Job).where(Job.id == lease.job_id)).one()
        shape = {"width": 4, "height": 4, "bytes": 3, "sha256": "0" * 64, "media_type": "image/png"}
        session.add(Preview(job_seq=job.seq, step=1, stage=1, iteration=1, blob="p/3", **shape))
        session.flush()
        assert sorted(drop_previews(session, job)) == ["p/1", "p/3"]
    assert [one.name for one in rows.row(database, lease.job_id).artifacts] == ["kept.png"]
    assert rows.count(database)["previews"] == 0
