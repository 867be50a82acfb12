"""Accepting a job: settings resolved and checked at the door, the row before the message, then the bell."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from asgi_correlation_id import correlation_id
from pydantic import BaseModel, ValidationError

from api.errors import field_errors, invalid
from api.house import House
from api.jobs.schemas import SampleJobIn, TrainJobIn
from core.broker import events
from core.contracts.jobs import JobKind, JobStatus, Progress
from core.contracts.learning import MAX_SEED, LearningParams
from core.contracts.sampling import LearnedSettings
from core.presets import PRESETS
from core.store import datasets, jobs, models
from core.store.errors import Conflict
from core.store.jobs import Idempotency, NewJob
from core.store.schema import Job


def create(house: House, asked: TrainJobIn | SampleJobIn, key: str | None) -> Job:
    """Raises Problem for settings that cannot work, NotFound, or Conflict for a key used for another request."""
    idempotency = None
    if key is not None:
        idempotency = Idempotency(key, _digest(asked))
        if earlier := jobs.asked_before(house.database, idempotency):
            return earlier
    new = _train(house, asked) if isinstance(asked, TrainJobIn) else _sample(house, asked)
    job = jobs.accept(house.database, new, idempotency)
    _announce(house, job)
    return job


def cancel(house: House, job_id: str) -> Job:
    """Raises NotFound, or Conflict for a job that has ended."""
    job = jobs.cancel(house.database, job_id)
    if job.status == JobStatus.CANCELED:
        events.tell(house.redis, job.id, "done", {"status": job.status})
    return job


def resume(house: House, job_id: str, iterations: int | None) -> Job:
    """Raises NotFound, Problem for fewer iterations than were done, or Conflict where nothing is left to do."""
    job = jobs.find(house.database, job_id)
    params = None
    if job.kind == JobKind.TRAIN:
        asked = iterations if iterations is not None else job.params["iterations"]
        if job.status == JobStatus.SUCCEEDED and asked <= job.params["iterations"]:
            raise Conflict(f"job {job_id} has done all its iterations: ask for more than {job.params['iterations']}")
        if asked < job.params["iterations"]:
            message = f"must be at least the {job.params['iterations']} asked for before"
            raise invalid([{"field": "params.iterations", "message": message}])
        params = {**job.params, "iterations": asked}
    elif iterations is not None:
        raise invalid([{"field": "params.iterations", "message": f"a {job.kind} job has no iterations"}])
    elif job.status == JobStatus.SUCCEEDED:
        raise Conflict(f"job {job_id} has succeeded: there is nothing to go on with")
    job = jobs.resume(house.database, job_id, params)
    _announce(house, job)
    return job


def _announce(house: House, job: Job) -> None:
    """After the commit: tell who watches, and ring. Should either fail, the row still says it all."""
    events.tell(house.redis, job.id, "status", {"status": JobStatus.QUEUED.value})
    house.bell.ring(job.kind.queue if isinstance(job.kind, JobKind) else JobKind(job.kind).queue, job.id)


def _train(house: House, asked: TrainJobIn) -> NewJob:
    preset = PRESETS.get(asked.preset)
    if preset is None:
        message = f"there is no preset {asked.preset!r}; there are {', '.join(sorted(PRESETS))}"
        raise invalid([{"field": "preset", "message": message}])
    datasets.find(house.database, asked.dataset_id)
    overrides: Mapping[str, Any] = asked.params.model_dump(exclude_unset=True)
    params = _resolve(LearningParams, {**preset.model_dump(), **overrides}).seeded(_draw_seed())
    progress = Progress(stages=params.stages, iterations=params.iterations)
    return NewJob(
        kind=JobKind.TRAIN,
        params=params.model_dump(mode="json"),
        preset=asked.preset,
        dataset_id=asked.dataset_id,
        request_id=correlation_id.get(),
        progress=progress,
    )


def _sample(house: House, asked: SampleJobIn) -> NewJob:
    model = models.find(house.database, asked.model_id)
    try:
        params = asked.params.resolved(LearnedSettings.model_validate(model.params), _draw_seed())
    except ValidationError as error:
        raise invalid(field_errors(error.errors(), ["params"])) from error
    return NewJob(
        kind=JobKind.SAMPLE,
        params=params.model_dump(mode="json"),
        model_id=asked.model_id,
        request_id=correlation_id.get(),
        progress=Progress(stages=params.count, iterations=params.steps),
    )


def _resolve(kind: type[LearningParams], values: Mapping[str, Any]) -> LearningParams:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise invalid(field_errors(error.errors(), ["params"])) from error


def _draw_seed() -> int:
    return secrets.randbelow(MAX_SEED)


def _digest(asked: BaseModel) -> bytes:
    """Of what the client asked, not of what it left to us: the seed that we draw differs each time."""
    return hashlib.sha256(
        json.dumps(asked.model_dump(mode="json", exclude_unset=True), sort_keys=True).encode()
    ).digest()
