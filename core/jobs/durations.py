"""How long training jobs have taken on this service."""

from pydantic import ValidationError
from sqlalchemy import select

from core.recipe.expected_time import FinishedTraining
from core.schemas.jobs import JobKind, JobStatus
from core.schemas.learning import LearningParams
from core.storage.access import UNSCOPED
from core.storage.database import Database
from core.storage.tables import Job

LOOKED_AT = 50  # training jobs


def finished_trainings(database: Database) -> list[FinishedTraining]:
    """Return the latest jobs of a preset that did all their iterations in one attempt, newest first.

    Of all owners, because the machines are the same.
    """
    latest = (
        select(Job.preset, Job.params, Job.progress, Job.finished_at - Job.started_at)
        .where(Job.kind == JobKind.TRAIN, Job.status == JobStatus.SUCCEEDED, Job.attempt == 1, Job.preset.is_not(None))
        .order_by(Job.seq.desc())
        .limit(LOOKED_AT)
    )
    found = []
    with database.read() as session:
        for preset, stored, progress, seconds in session.execute(latest.execution_options(**UNSCOPED)):
            try:
                params = LearningParams.model_validate(stored)
            except ValidationError:  # of another version
                continue
            if preset is not None and progress["iteration"] >= getattr(params, params.last_iterations):
                found.append(FinishedTraining(preset, params, seconds))
    return found
