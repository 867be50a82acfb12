"""Accepting a job: checked at the door, the row before the message, then the notifier."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from api.app_state import AppState
from api.errors import invalid
from api.jobs import validation
from api.jobs.schemas import AnyJobIn, ResumeIn
from api.space import ensure_room
from core.broker import events
from core.jobs import requests
from core.jobs.requests import Idempotency
from core.schemas.jobs import JobKind, JobStatus
from core.storage.errors import Conflict
from core.storage.tables import Job


def create(app_state: AppState, asked: AnyJobIn, key: str | None) -> Job:
    """Raises Problem for settings that cannot work or a full disk, NotFound, or Conflict for a key used otherwise."""
    idempotency = None
    if key is not None:
        idempotency = Idempotency(key, _digest(asked))
        if earlier := requests.asked_before(app_state.database, idempotency):
            return earlier
    ensure_room(app_state)
    job = requests.accept(app_state.database, validation.resolve(app_state, asked), idempotency)
    _announce(app_state, job)
    return job


def cancel(app_state: AppState, job_id: str) -> Job:
    """Raises NotFound, or Conflict for a job that has ended."""
    job = requests.cancel(app_state.database, job_id)
    if job.status == JobStatus.CANCELED:
        app_state.aside.do(lambda: events.tell(app_state.redis, job.id, "done", {"status": job.status}))
    return job


def resume(app_state: AppState, job_id: str, asked: ResumeIn) -> Job:
    """Raises NotFound, Problem for fewer iterations than were done, or Conflict where it cannot go on."""
    job = requests.find(app_state.database, job_id)
    limit = validation.time_limit(app_state, asked.time_limit_seconds)
    ensure_room(app_state)
    _goes_on_from_what_is_there(app_state, job)
    job = requests.resume(
        app_state.database, job_id, _further(job, asked.params.iterations if asked.params else None), limit
    )
    _announce(app_state, job)
    return job


def _goes_on_from_what_is_there(app_state: AppState, job: Job) -> None:
    if job.checkpoint is not None and not app_state.blobs.has(job.checkpoint):
        raise Conflict(f"job {job.id} cannot go on: its checkpoint is not there any more")


def _further(job: Job, iterations: int | None) -> dict[str, Any] | None:
    """The parameters with which a job goes on, None for those that it has."""
    if job.kind == JobKind.TRAIN:
        asked = iterations if iterations is not None else job.params["iterations"]
        if job.status == JobStatus.SUCCEEDED and asked <= job.params["iterations"]:
            raise Conflict(f"job {job.id} has done all its iterations: ask for more than {job.params['iterations']}")
        if asked < job.params["iterations"]:
            message = f"must be at least the {job.params['iterations']} asked for before"
            raise invalid([{"field": "params.iterations", "message": message}])
        return {**job.params, "iterations": asked}
    if iterations is not None:
        raise invalid([{"field": "params.iterations", "message": f"a {job.kind} job has no iterations"}])
    if job.status == JobStatus.SUCCEEDED:
        raise Conflict(f"job {job.id} has succeeded: there is nothing to go on with")
    return None


def _announce(app_state: AppState, job: Job) -> None:
    """After the commit: tell who watches, and ring, once a shard. Should either fail, the row still says it all."""
    job_id, shards, queue = job.id, job.shards, JobKind(job.kind).queue

    def announce() -> None:
        events.tell(app_state.redis, job_id, "status", {"status": JobStatus.QUEUED.value})
        for _ in range(max(shards, 1)):
            if not app_state.notifier.notify(queue, job_id):
                return

    app_state.aside.do(announce)


def _digest(asked: BaseModel) -> bytes:
    """Of what the client asked, not of what it left to us: the seed that we draw differs each time."""
    return hashlib.sha256(
        json.dumps(asked.model_dump(mode="json", exclude_unset=True), sort_keys=True).encode()
    ).digest()
