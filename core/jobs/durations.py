"""How long training jobs have taken on this service."""

from pydantic import ValidationError
from sqlalchemy import select

from core.recipe.expected_time import FinishedTraining
from core.schemas.jobs import JobKind, JobStatus, Queue
from core.schemas.learning import LearningParams
from core.storage.access import UNSCOPED
from core.storage.database import Database
from core.storage.tables import Job

LOOKED_AT = 50  # training jobs


def finished_trainings(database: Database) -> list[FinishedTraining]:
    """Return the latest jobs of a preset that did all their iterations in one attempt, newest first.

    Of all owners, because the machines are the same. Not those whose stages end as soon as pictures are steady: a row
    has the iterations of the last stage alone.
    """
    seconds = Job.finished_at - Job.started_at
    latest = (
        select(Job.preset, Job.params, Job.progress, seconds)
        .where(Job.queue == Queue.TRAIN, Job.kind == JobKind.TRAIN, Job.status == JobStatus.SUCCEEDED)
        .where(Job.attempt == 1, Job.preset.is_not(None), seconds.is_not(None))
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
            is_complete = progress.get("iteration", 0) >= getattr(params, params.last_iterations)
            if preset is not None and is_complete and not params.stop_when_steady:
                found.append(FinishedTraining(preset, params, seconds))
    return found
