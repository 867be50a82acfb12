"""Create, cancel and resume jobs: check the request, write the row, then notify the workers."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from api.app_state import AppState
from api.errors import Problem, validation_problem
from api.files.disk_space import ensure_disk_space
from api.files.download_names import without_ending
from api.http import idempotency
from api.jobs import validation
from api.jobs.schemas import AnyJobIn, ResumeIn
from api.models import service as model_service
from core.broker import events
from core.jobs import requests, results
from core.recipe.presets import PRESETS, usual_learning_rate
from core.schemas.jobs import JobKind, JobStatus, Replay
from core.schemas.learning import LearningParams
from core.storage import datasets, models
from core.storage.database import Database
from core.storage.errors import Conflict, NotFound
from core.storage.idempotency import find_earlier
from core.storage.tables import Job


def create(app_state: AppState, body: AnyJobIn, key: str | None, replays: Replay | None = None) -> Job:
    """Queue a job, or return the one already created with the same idempotency key and body.

    replays: the picture that the job makes again, if any.

    Raises Problem if the settings cannot work or the disk is full, NotFound if a dataset or model is missing, and
    Conflict if the key was used with another body.
    """
    repeatable = idempotency.of_body(key, body)
    if repeatable is not None and (earlier := find_earlier(app_state.database, Job, repeatable)):
        return earlier
    ensure_disk_space(app_state)
    new = validation.resolve(app_state, body)
    if replays is not None:  # its parameters are complete, and of no preset
        new = replace(new, replays=replays, preset=None)
    job = requests.accept(app_state.database, new, repeatable)
    _announce(app_state, job)
    return job


def cancel(app_state: AppState, job_id: str) -> Job:
    """Cancel a job, or ask its worker to. Raises NotFound, or Conflict if the job has ended."""
    job = requests.cancel(app_state.database, job_id)
    if job.status == JobStatus.CANCELED:
        app_state.best_effort.submit(lambda: _publish(app_state, job, "done", job.status))
    return job


def resume(app_state: AppState, job_id: str, body: ResumeIn) -> Job:
    """Queue an ended job again. Raises NotFound, Conflict if it cannot go on, Problem for too few iterations."""
    job = requests.find(app_state.database, job_id)
    limit = validation.time_limit(app_state, body.time_limit_seconds)
    ensure_disk_space(app_state)
    _require_checkpoint(app_state, job)
    params = _resumed_params(job, body.params.model_dump(exclude_none=True) if body.params else {})
    job = requests.resume(app_state.database, job_id, params, limit)
    _announce(app_state, job)
    return job


def subject_of(database: Database, job: Job) -> str | None:
    """Return what a job's files are about, if it is known: the model that drew them, or the pictures it was given."""
    if job.kind == JobKind.SAMPLE and job.model_id is not None:
        with suppress(NotFound):
            return model_service.subject_of(database, models.find(database, job.model_id))
    given = without_ending(datasets.names(database, [job.dataset_id]).get(job.dataset_id)) if job.dataset_id else None
    return job.model_name or given


def _require_checkpoint(app_state: AppState, job: Job) -> None:
    """Check that the file of the job's checkpoint, if it has one, exists. Raises Conflict."""
    if job.checkpoint is not None and not app_state.blobs.exists(job.checkpoint):
        raise Conflict(f"job {job.id} cannot go on: the file of its checkpoint is missing")


def _resumed_params(job: Job, wanted: Mapping[str, int]) -> dict[str, Any] | None:
    """Return the parameters with which the job goes on; None if they do not change. Raises Problem or Conflict."""
    if job.kind == JobKind.TRAIN:
        return _resumed_learning(job, wanted)
    for name in wanted:
        raise _wrong(name, f"a {job.kind} job has no {name}")
    if job.status == JobStatus.SUCCEEDED:
        raise Conflict(f"job {job.id} has succeeded: nothing is left to do")
    return None


def _resumed_learning(job: Job, wanted: Mapping[str, int]) -> dict[str, Any]:
    """Return the parameters with which a training job goes on. Raises Problem or Conflict.

    A job that `stop_when_steady` ended early goes on without it: to the iterations that it was to have, or to more.
    With more iterations its learning_rate may be smaller (`usual_learning_rate`), unless it was given another.
    """
    so_far = LearningParams.model_validate(job.params)
    last = so_far.last_iterations
    before, done = job.params[last], job.progress["iteration"]
    params = {**job.params, **wanted}
    preset = PRESETS.get(job.preset or "")
    if preset is not None and so_far.learning_rate == usual_learning_rate(so_far, preset):
        params["learning_rate"] = usual_learning_rate(so_far.model_copy(update=dict(wanted)), preset)
    _require_learnable(job, wanted)
    if job.status == JobStatus.SUCCEEDED:
        was_steady = "steady_at" in job.metrics
        if was_steady and done < before:
            if last not in wanted:
                raise Conflict(
                    f"job {job.id} ended after {done} of {before} {last}, because its pictures came no nearer: "
                    f"ask for {before} or more to go on"
                )
        elif params[last] <= before:
            raise Conflict(f"job {job.id} has done all its {last}: ask for more than {before}")
        if was_steady:
            params["stop_when_steady"] = False
    for name, count in wanted.items():
        if count < job.params[name]:
            raise _wrong(name, f"must be at least {job.params[name]}, as many as the job already has")
    return params


def _require_learnable(job: Job, wanted: Mapping[str, int]) -> None:
    """Check that the stages that are to have more iterations are not yet over. Raises Problem."""
    if not job.params.get("canvas_iterations"):
        if "canvas_iterations" in wanted:
            raise _wrong("canvas_iterations", "the job was not asked for a canvas; ask for more iterations")
    elif wanted.get("iterations", 0) > job.params["iterations"] and (
        results.stages_at(job.checkpoint) >= job.progress["stages"] - 1
    ):
        raise _wrong("iterations", "the job has begun its canvas, its last stage: ask for more canvas_iterations")


def _wrong(name: str, message: str) -> Problem:
    return validation_problem([{"field": f"params.{name}", "message": message}])


def _announce(app_state: AppState, job: Job) -> None:
    """Publish the job's status and notify the workers, once for each shard.

    Runs after the commit and in the background. If it fails, the reconciler notifies the workers later.
    """
    job_id, shards, queue = job.id, job.shards, JobKind(job.kind).queue

    def announce() -> None:
        _publish(app_state, job, "status", JobStatus.QUEUED)
        for _ in range(max(shards, 1)):
            if not app_state.notifier.notify(queue, job_id):
                return

    app_state.best_effort.submit(announce)


def _publish(app_state: AppState, job: Job, name: events.EventName, status: JobStatus) -> None:
    events.publish(app_state.redis, job.id, name, {"status": status}, owner=job.owner_seq)
