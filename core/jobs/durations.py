"""How long training jobs have taken on this service."""

from pydantic import ValidationError
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import aliased

from core.recipe.expected_time import FinishedTraining
from core.schemas.jobs import JobKind, JobStatus, Queue
from core.schemas.learning import LearningParams
from core.storage.access import UNSCOPED
from core.storage.database import Database
from core.storage.tables import Job

LOOKED_AT = 50  # training jobs
NEIGHBOURS = 500  # jobs that were asked for before and after each, among which those at the same time are looked for
BRIEF = 0.1  # of a job's time: others that ran beside it for less hardly slowed it down


def finished_trainings(database: Database) -> list[FinishedTraining]:
    """Return the latest jobs of a preset that did all their iterations in one attempt, newest first.

    Of all owners, because the machines are the same. Not those whose stages end as soon as pictures are steady: a row
    has the iterations of the last stage alone.
    """
    seconds = Job.finished_at - Job.started_at
    latest = (
        select(Job.preset, Job.params, Job.progress, seconds, ~_was_not_alone())
        .where(Job.queue == Queue.TRAIN, Job.kind == JobKind.TRAIN, Job.status == JobStatus.SUCCEEDED)
        .where(Job.attempt == 1, Job.preset.is_not(None), seconds.is_not(None))
        .order_by(Job.seq.desc())
        .limit(LOOKED_AT)
    )
    found = []
    with database.read() as session:
        for preset, stored, progress, seconds, alone in session.execute(latest.execution_options(**UNSCOPED)):
            try:
                params = LearningParams.model_validate(stored)
            except ValidationError:  # of another version
                continue
            is_complete = progress.get("iteration", 0) >= getattr(params, params.last_iterations)
            if preset is not None and is_complete and not params.stop_when_steady:
                found.append(FinishedTraining(preset, params, seconds, alone))
    return found


def _was_not_alone() -> ColumnElement[bool]:
    """Select the ended jobs beside which another ran for more than a brief part of their time."""
    other = aliased(Job)
    brief = BRIEF * (Job.finished_at - Job.started_at)
    is_near = and_(other.seq.between(Job.seq - NEIGHBOURS, Job.seq + NEIGHBOURS), other.seq != Job.seq)
    lasted = or_(other.finished_at.is_(None), other.finished_at - other.started_at > brief)
    began_before = Job.finished_at - other.started_at > brief
    ended_after = or_(other.finished_at.is_(None), other.finished_at - Job.started_at > brief)
    return select(other.seq).where(is_near, lasted, began_before, ended_after).exists()
