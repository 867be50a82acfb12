"""Progress, metrics, artifacts and checkpoints of a running job."""

from support import rows

from core.jobs import requests, running
from core.schemas.jobs import Progress
from core.storage.database import Database


def test_a_step_that_is_recorded_again_replaces_the_earlier_values(database: Database) -> None:
    lease = rows.claimed(database)
    progress = Progress(iteration=2, iterations=5, fraction=0.4)
    running.set_metrics(database, lease, {"warnings": ["of an earlier attempt"]})
    running.set_metrics(database, lease, {"precision": "float32"})
    running.record(database, lease, progress, [(1, {"energy": 3.0}), (2, {"energy": 2.0})])
    running.record(database, lease, progress, [(2, {"energy": 2.5}), (3, {"energy": 1.0})])  # gone on from a checkpoint
    running.record(database, lease, progress)
    assert requests.metrics(database, lease.job_id) == [
        {"step": 1, "energy": 3.0},
        {"step": 2, "energy": 2.5},
        {"step": 3, "energy": 1.0},
    ]
    job = rows.row(database, lease.job_id)
    assert job.metrics == {"precision": "float32", "energy": 1.0}
    assert Progress.model_validate(job.progress) == progress


def test_the_next_claim_goes_on_from_the_latest_checkpoint(database: Database) -> None:
    lease = rows.claimed(database)
    assert running.checkpoint(database, lease, rows.stored("c/1")) == []
    assert running.checkpoint(database, lease, rows.stored("c/2")) == ["c/1"]
    assert running.checkpoint(database, lease, rows.stored("c/2")) == []
    rows.expire(database, lease.job_id)
    assert rows.claim(database).checkpoint == "c/2"
